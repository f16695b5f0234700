{{/* Scanners: an updater, and the clamd it keeps up to date. */}}

{{- define "sigmirror.scanner.name" -}}
{{- printf "%s-scanner" (include "sigmirror.fullname" .) -}}
{{- end -}}

{{/* Whether clamd stands in the same pod. */}}
{{- define "sigmirror.scanner.hasClamd" -}}
{{- has .Values.scanner.kind (list "Deployment" "StatefulSet") -}}
{{- end -}}

{{/* Where the updater keeps everything; on a node the same path as clamd knows it by. */}}
{{- define "sigmirror.scanner.state" -}}
{{- ternary .Values.scanner.node.state "/var/lib/sigupdate" (eq .Values.scanner.kind "DaemonSet") -}}
{{- end -}}

{{- define "sigmirror.scanner.socket" -}}
{{- if eq .Values.scanner.kind "DaemonSet" -}}
{{- printf "/run/scanner/%s" .Values.scanner.node.socket -}}
{{- else if eq .Values.scanner.kind "CronJob" -}}
{{- .Values.scanner.shared.address -}}
{{- else -}}
/run/scanner/clamd.sock
{{- end -}}
{{- end -}}

{{- define "sigmirror.scanner.turns" -}}
{{- default (ternary .Values.scanner.replicas 10 (eq (include "sigmirror.scanner.hasClamd" .) "true")) .Values.scanner.turns -}}
{{- end -}}

{{- define "sigmirror.scanner.config.own" -}}
{{- $scanner := .Values.scanner -}}
mirrors:
  {{- if $scanner.mirrors }}
  {{- range $scanner.mirrors }}
  - {{ tpl . $ | quote }}
  {{- end }}
  {{- else }}
  - {{ printf "%s://%s.%s.svc:%d" (ternary "http" "https" (empty .Values.tls.existingSecret)) (include "sigmirror.fullname" .) .Release.Namespace (int .Values.service.port) | quote }}
  {{- end }}
{{- if $scanner.credential.existingSecret }}
credential_file: /etc/sigmirror-secrets/credential/{{ $scanner.credential.key }}
{{- end }}
{{- if $scanner.ca.existingSecret }}
ca_file: /etc/sigmirror-secrets/ca/{{ $scanner.ca.key }}
{{- end }}
state: {{ include "sigmirror.scanner.state" . }}
interval_seconds: {{ $scanner.intervalSeconds }}
turns: {{ include "sigmirror.scanner.turns" . }}
report:
  member: "{hostname}"
repository:
  - name: site
    root: /etc/sigmirror-root/{{ $scanner.root.key }}
{{- end -}}

{{- define "sigmirror.scanner.engine" -}}
name: clamd
kind: clamd
channels: {{ toJson .Values.scanner.channels }}
socket: {{ include "sigmirror.scanner.socket" . | quote }}
{{- if eq (include "sigmirror.scanner.hasClamd" .) "true" }}
clamd_config: /etc/sigmirror/clamd.conf
{{- end }}
{{- end -}}

{{- define "sigmirror.scanner.config" -}}
{{- if .Values.scanner.configRaw -}}
{{- tpl .Values.scanner.configRaw . -}}
{{- else -}}
{{- $own := include "sigmirror.scanner.config.own" . | fromYaml -}}
{{- $engine := mergeOverwrite (include "sigmirror.scanner.engine" . | fromYaml) (deepCopy .Values.scanner.engine) -}}
{{- $table := mergeOverwrite $own (deepCopy .Values.scanner.config) (dict "engine" (list $engine)) -}}
{{- include "sigmirror.toml" (dict "path" "" "table" $table) -}}
{{- end -}}
{{- end -}}

{{- define "sigmirror.scanner.clamd.config" -}}
Foreground yes
LocalSocket /run/scanner/clamd.sock
LocalSocketMode 660
TCPSocket {{ .Values.scanner.clamd.port }}
DatabaseDirectory /var/lib/sigupdate/engines/clamd/current
TemporaryDirectory /tmp
ConcurrentDatabaseReload yes
SelfCheck 3600
{{- range $key, $value := .Values.scanner.clamd.config }}
{{- range ternary $value (list $value) (kindIs "slice" $value) }}
{{ $key }} {{ if kindIs "bool" . }}{{ ternary "yes" "no" . }}{{ else if kindIs "string" . }}{{ . }}{{ else }}{{ toRawJson . }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "sigmirror.scanner.checksum" -}}
checksum/config: {{ printf "%s%s" (include "sigmirror.scanner.config" .) (include "sigmirror.scanner.clamd.config" .) | sha256sum }}
{{- end -}}

{{/* The updater's container without its command: root, name. */}}
{{- define "sigmirror.scanner.updater" -}}
{{- $scanner := .root.Values.scanner -}}
name: {{ .name }}
image: {{ include "sigmirror.image" (dict "root" .root "image" $scanner.image) }}
imagePullPolicy: {{ $scanner.image.pullPolicy }}
env:
  - name: HOME
    value: /tmp
  {{- with $scanner.extraEnvVars }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
{{- with $scanner.updater.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: /etc/sigmirror
    readOnly: true
  - name: root
    mountPath: /etc/sigmirror-root
    readOnly: true
  {{- if $scanner.credential.existingSecret }}
  - name: credential
    mountPath: /etc/sigmirror-secrets/credential
    readOnly: true
  {{- end }}
  {{- if $scanner.ca.existingSecret }}
  - name: ca
    mountPath: /etc/sigmirror-secrets/ca
    readOnly: true
  {{- end }}
  - name: definitions
    mountPath: {{ include "sigmirror.scanner.state" .root }}
  {{- if ne $scanner.kind "CronJob" }}
  - name: run
    mountPath: /run/scanner
  {{- end }}
  - name: tmp
    mountPath: /tmp
  {{- with $scanner.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* A first generation before clamd starts; without the mirror, whatever is installed already. */}}
{{- define "sigmirror.scanner.install" -}}
- {{- include "sigmirror.scanner.updater" (dict "root" . "name" "install") | nindent 2 }}
  command: [sh, -ec]
  args:
    - sigupdate run --install-only || test -d {{ include "sigmirror.scanner.state" . }}/engines/clamd/current/
{{- end -}}

{{- define "sigmirror.scanner.clamd" -}}
{{- $clamd := .Values.scanner.clamd -}}
- name: clamd
  image: {{ include "sigmirror.image" (dict "root" . "image" (ternary $clamd.image .Values.scanner.image (not (empty $clamd.image.repository)))) }}
  imagePullPolicy: {{ $clamd.image.pullPolicy }}
  command: [clamd]
  args: [--config-file=/etc/sigmirror/clamd.conf]
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  ports:
    - name: clamd
      containerPort: {{ $clamd.port }}
  lifecycle:
    preStop: # mail to be scanned comes until every node knows that this pod goes
      exec:
        command: [sleep, "5"]
  {{- range $probe := list "startup" "liveness" "readiness" }}
  {{ $probe }}Probe: # clamd listens once it has loaded
    tcpSocket:
      port: clamd
    {{- toYaml (get $clamd (printf "%sProbe" $probe)) | nindent 4 }}
  {{- end }}
  {{- with $clamd.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: config
      mountPath: /etc/sigmirror
      readOnly: true
    - name: definitions # the init container has made this folder
      mountPath: /var/lib/sigupdate/engines/clamd
      subPath: engines/clamd
      readOnly: true
    - name: run
      mountPath: /run/scanner
    - name: clamd-tmp
      mountPath: /tmp
{{- end -}}

{{- define "sigmirror.scanner.volumes" -}}
{{- $scanner := .Values.scanner -}}
- name: config
  configMap:
    name: {{ include "sigmirror.scanner.name" . }}
- name: root
  configMap:
    name: {{ $scanner.root.existingConfigMap }}
- name: tmp
  emptyDir: {}
{{- if $scanner.credential.existingSecret }}
- name: credential
  secret:
    secretName: {{ $scanner.credential.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if $scanner.ca.existingSecret }}
- name: ca
  secret:
    secretName: {{ $scanner.ca.existingSecret }}
    items:
      - key: {{ $scanner.ca.key }}
        path: {{ $scanner.ca.key }}
    defaultMode: 0440
{{- end }}
- name: definitions
  {{- if eq $scanner.kind "DaemonSet" }}
  hostPath:
    path: {{ $scanner.node.state }}
    type: Directory
  {{- else if eq $scanner.kind "CronJob" }}
  persistentVolumeClaim:
    claimName: {{ $scanner.shared.existingClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ $scanner.volume.sizeLimit }}
  {{- end }}
{{- if eq $scanner.kind "DaemonSet" }}
- name: run
  hostPath:
    path: {{ $scanner.node.run }}
    type: Directory
{{- else if ne $scanner.kind "CronJob" }}
- name: run
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
- name: clamd-tmp
  emptyDir: {}
{{- end }}
{{- with $scanner.extraVolumes }}
{{- tpl (toYaml .) $ | nindent 0 }}
{{- end }}
{{- end -}}

{{/* The pod: what runs again and again beside clamd, or once in a Job. */}}
{{- define "sigmirror.scanner.template" -}}
{{- $scanner := .Values.scanner -}}
{{- $hasClamd := eq (include "sigmirror.scanner.hasClamd" .) "true" -}}
{{- $isJob := eq $scanner.kind "CronJob" -}}
metadata:
  labels:
    {{- include "sigmirror.labels" (dict "root" . "component" "scanner" "more" (list $scanner.podLabels)) | nindent 4 }}
  annotations:
    {{- include "sigmirror.scanner.checksum" . | nindent 4 }}
    {{- with $scanner.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "sigmirror.pod" . | nindent 2 }}
  securityContext:
    {{- toYaml $scanner.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ $scanner.terminationGracePeriodSeconds }}
  {{- include "sigmirror.placement" (dict "root" . "component" "scanner" "of" $scanner "spread" $hasClamd) | nindent 2 }}
  {{- if $isJob }}
  restartPolicy: Never
  {{- else }}
  initContainers:
    {{- include "sigmirror.scanner.install" . | nindent 4 }}
  {{- end }}
  containers:
    {{- if $hasClamd }}
    {{- include "sigmirror.scanner.clamd" . | nindent 4 }}
    {{- end }}
    - {{- include "sigmirror.scanner.updater" (dict "root" . "name" "updater") | nindent 6 }}
      command: [sigupdate]
      args: [{{ if not $isJob }}daemon{{ else if $scanner.shared.address }}run{{ else }}run, --install-only{{ end }}]
    {{- with $scanner.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "sigmirror.scanner.volumes" . | nindent 4 }}
{{- end -}}
