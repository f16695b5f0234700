{{/* The mirror and its puller: settings, and what their pods share. */}}

{{- define "sigmirror.pullsItself" -}}
{{- eq .Values.puller.kind "InProcess" -}}
{{- end -}}

{{/* How many replicas there may be at most. */}}
{{- define "sigmirror.mostReplicas" -}}
{{- ternary .Values.autoscaling.maxReplicas .Values.replicas .Values.autoscaling.enabled -}}
{{- end -}}

{{/* What the chart writes itself: where things lie in a pod. */}}
{{- define "sigmirror.config.own" -}}
store:
  {{- if eq .Values.store.type "s3" }}
  url: {{ .Values.store.s3.url | quote }}
  folder: /var/lib/sigmirror
  endpoint: {{ .Values.store.s3.endpoint | quote }}
  region: {{ .Values.store.s3.region | quote }}
  addressing: {{ .Values.store.s3.addressing | quote }}
  cache: /var/cache/sigmirror
  cache_max_bytes: {{ mul 1073741824 .Values.store.s3.cacheGibibytes }}
  {{- with .Values.store.s3.settings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- else }}
  url: file:///var/lib/sigmirror
  {{- end }}
signing:
  keys: /etc/sigmirror-secrets/keys
  passphrase_file: /etc/sigmirror-secrets/passphrase/{{ .Values.signing.passphrase.key }}
serve:
  listen: "0.0.0.0:8480"
  metrics_listen: "0.0.0.0:9480"
  {{- if .Values.tls.existingSecret }}
  tls:
    cert: /etc/sigmirror-secrets/tls/tls.crt
    key: /etc/sigmirror-secrets/tls/tls.key
  {{- end }}
  {{- if .Values.tls.terminatedByProxy }}
  tls_terminated_by_proxy: true
  {{- end }}
  {{- with .Values.tls.trustedProxies }}
  trusted_proxies: {{ toJson . }}
  {{- end }}
{{- if .Values.fleet.postgresql.url }}
fleet:
  database: {{ .Values.fleet.postgresql.url | quote }}
  {{- if .Values.fleet.postgresql.existingSecret }}
  database_password_file: /etc/sigmirror-secrets/database/{{ .Values.fleet.postgresql.key }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "sigmirror.config" -}}
{{- if .Values.configRaw -}}
{{- tpl .Values.configRaw . -}}
{{- else -}}
{{- $own := include "sigmirror.config.own" . | fromYaml -}}
{{- include "sigmirror.toml" (dict "path" "" "table" (mergeOverwrite (deepCopy .Values.config) $own)) -}}
{{- end -}}
{{- end -}}

{{/* What changes a pod when the settings change; secrets are followed by the running mirror. */}}
{{- define "sigmirror.checksum" -}}
checksum/config: {{ include "sigmirror.config" . | sha256sum }}
{{- end -}}

{{/* root, signs */}}
{{- define "sigmirror.volumes" -}}
{{- $ := .root -}}
- name: config
  configMap:
    name: {{ include "sigmirror.fullname" $ }}
- name: tmp
  emptyDir: {}
{{- if eq $.Values.store.type "s3" }}
- name: cache # a pod that outgrows its limit is evicted: what is being written comes on top
  emptyDir:
    sizeLimit: {{ add 2 $.Values.store.s3.cacheGibibytes }}Gi
{{- end }}
{{- if .signs }}
- name: keys
  secret:
    secretName: {{ $.Values.signing.existingSecret }}
    defaultMode: 0440
- name: passphrase
  secret:
    secretName: {{ $.Values.signing.passphrase.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if $.Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ $.Values.tls.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if and $.Values.fleet.postgresql.url $.Values.fleet.postgresql.existingSecret }}
- name: database
  secret:
    secretName: {{ $.Values.fleet.postgresql.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if $.Values.secretFiles }}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- range $file, $from := $.Values.secretFiles }}
      - secret:
          name: {{ $from.existingSecret }}
          items:
            - key: {{ $from.key }}
              path: {{ $file }}
      {{- end }}
{{- end }}
{{- end -}}

{{/* root, signs */}}
{{- define "sigmirror.mounts" -}}
{{- $ := .root -}}
- name: config
  mountPath: /etc/sigmirror
  readOnly: true
- name: state
  mountPath: /var/lib/sigmirror
- name: tmp
  mountPath: /tmp
{{- if eq $.Values.store.type "s3" }}
- name: cache
  mountPath: /var/cache/sigmirror
{{- end }}
{{- if .signs }}
- name: keys
  mountPath: /etc/sigmirror-secrets/keys/online
  readOnly: true
- name: passphrase
  mountPath: /etc/sigmirror-secrets/passphrase
  readOnly: true
{{- end }}
{{- if $.Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/sigmirror-secrets/tls
  readOnly: true
{{- end }}
{{- if and $.Values.fleet.postgresql.url $.Values.fleet.postgresql.existingSecret }}
- name: database
  mountPath: /etc/sigmirror-secrets/database
  readOnly: true
{{- end }}
{{- if $.Values.secretFiles }}
- name: files
  mountPath: /etc/sigmirror-secrets/files
  readOnly: true
{{- end }}
{{- end -}}

{{- define "sigmirror.env" -}}
env:
  - name: HOME
    value: /tmp
  {{- if and (eq .Values.store.type "s3") .Values.store.s3.existingSecret }}
  {{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
  - name: {{ . }}
    valueFrom:
      secretKeyRef:
        name: {{ $.Values.store.s3.existingSecret }}
        key: {{ . }}
  {{- end }}
  {{- end }}
  {{- with .Values.extraEnvVars }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or .Values.extraEnvVarsCM .Values.extraEnvVarsSecret }}
envFrom:
  {{- with .Values.extraEnvVarsCM }}
  - configMapRef:
      name: {{ . }}
  {{- end }}
  {{- with .Values.extraEnvVarsSecret }}
  - secretRef:
      name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The container of whoever works on the repository: root, name, signs. */}}
{{- define "sigmirror.container" -}}
{{- $ := .root -}}
name: {{ .name }}
image: {{ include "sigmirror.image" (dict "root" $ "image" $.Values.image) }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
{{ include "sigmirror.env" $ }}
securityContext:
  {{- toYaml $.Values.securityContext | nindent 2 }}
{{- end -}}

{{/* Puts the first metadata onto a volume that has none; the timestamp last, so that a cut leaves none. */}}
{{- define "sigmirror.founding.container" -}}
- name: founding
  image: {{ include "sigmirror.image" (dict "root" . "image" .Values.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - sh
    - -ec
    - |
      metadata=/var/lib/sigmirror/r/site/metadata
      test ! -e "$metadata/timestamp.json" || exit 0
      mkdir -p "$metadata"
      cp /founding/*.*.json "$metadata/"
      cp /founding/timestamp.json "$metadata/.timestamp"
      mv "$metadata/.timestamp" "$metadata/timestamp.json"
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    - name: state
      mountPath: /var/lib/sigmirror
    - name: founding
      mountPath: /founding
      readOnly: true
{{- end -}}

{{- define "sigmirror.founding.isNeeded" -}}
{{- and (eq .Values.store.type "volume") (not (empty .Values.founding.existingConfigMap)) -}}
{{- end -}}

{{- define "sigmirror.founding.volume" -}}
- name: founding
  configMap:
    name: {{ .Values.founding.existingConfigMap }}
{{- end -}}
