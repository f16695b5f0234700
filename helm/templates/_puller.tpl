{{/* The one pod that pulls and signs, where the mirror's own does not. */}}

{{/* Minutes that differ from site to site, so that vendors are not asked by all at the same time. */}}
{{- define "sigmirror.puller.schedule" -}}
{{- $every := int .Values.puller.everyMinutes -}}
{{- $own := int (mod (adler32sum (printf "%s/%s" .Release.Namespace .Release.Name)) (min $every 60)) -}}
{{- if lt $every 60 -}}
{{- printf "%d-59/%d * * * *" $own $every -}}
{{- else if eq $every 60 -}}
{{- printf "%d * * * *" $own -}}
{{- else -}}
{{- printf "%d */%d * * *" $own (div $every 60) -}}
{{- end -}}
{{- end -}}

{{/* One pull, then who must be told is told, and once a day what nothing needs is removed. */}}
{{- define "sigmirror.puller.script" -}}
code=0
sigmirror pull --wait {{ .Values.puller.waitSeconds }} || code=$?
sigmirror notify || true
{{- if .Values.puller.collectDaily }}
stamp=/var/lib/sigmirror/state/collected
if [ -z "$(find $stamp -mmin -1440 2>/dev/null)" ]; then
  sigmirror gc && touch $stamp || true
fi
{{- end }}
exit $code
{{- end -}}

{{/* Waits for `kubectl exec`, and ends when it is told to. */}}
{{- define "sigmirror.puller.waiting" -}}
trap 'exit 0' TERM
while :; do sleep 3600 & wait $!; done
{{- end -}}

{{/* root, restart: its restart policy; script: what it runs, or else `sigmirror run`; labels: more of them */}}
{{- define "sigmirror.puller.template" -}}
{{- $ := .root -}}
metadata:
  labels:
    {{- include "sigmirror.labels" (dict "root" $ "component" "puller") | nindent 4 }}
    {{- if not .script }}
    sigmirror/metrics: "true"
    {{- end }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $.Values.puller.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "sigmirror.checksum" $ | nindent 4 }}
    {{- with $.Values.puller.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "sigmirror.pod" $ | nindent 2 }}
  restartPolicy: {{ .restart }}
  securityContext:
    {{- toYaml $.Values.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ $.Values.terminationGracePeriodSeconds }}
  {{- include "sigmirror.placement" (dict "root" $ "component" "puller" "of" $.Values.puller "spread" false) | nindent 2 }}
  {{- if eq (include "sigmirror.founding.isNeeded" $) "true" }}
  initContainers:
    {{- include "sigmirror.founding.container" $ | nindent 4 }}
  {{- end }}
  containers:
    - {{- include "sigmirror.container" (dict "root" $ "name" "puller") | nindent 6 }}
      {{- if .script }}
      command:
        - sh
        - -uc
        - |
          {{- .script | nindent 10 }}
      {{- else }}
      command: [sigmirror]
      args: [run]
      ports:
        - name: metrics
          containerPort: 9480
      {{- range $probe := list "startup" "liveness" }}
      {{ $probe }}Probe:
        httpGet:
          path: /healthz
          port: 8480
          scheme: {{ ternary "HTTPS" "HTTP" (not (empty $.Values.tls.existingSecret)) }}
        {{- toYaml (get $.Values (printf "%sProbe" $probe)) | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- with $.Values.puller.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- include "sigmirror.mounts" (dict "root" $ "signs" true) | nindent 8 }}
        {{- with $.Values.puller.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "sigmirror.volumes" (dict "root" $ "signs" true) | nindent 4 }}
    - name: state
      persistentVolumeClaim:
        claimName: {{ include "sigmirror.claim" $ }}
    {{- if eq (include "sigmirror.founding.isNeeded" $) "true" }}
    {{- include "sigmirror.founding.volume" $ | nindent 4 }}
    {{- end }}
    {{- with $.Values.puller.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
