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

{{/* A label of the pod that waits, which is where a claim of one node is in use all the time. */}}
{{- define "sigmirror.puller.operator" -}}
sigmirror/operator: "true"
{{- end -}}

{{/* As of `template`: with a claim of one node, who pulls goes where the operator's pod is. */}}
{{- define "sigmirror.puller.affinity" -}}
{{- $ := .root -}}
{{- $own := dict -}}
{{- if and (eq $.Values.puller.kind "CronJob") $.Values.puller.operator (not .labels) (not (has "ReadWriteMany" $.Values.persistence.accessModes)) -}}
{{- $labels := merge (include "sigmirror.puller.operator" . | fromYaml) (include "sigmirror.selector" (dict "root" $ "component" "puller") | fromYaml) -}}
{{- $beside := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels) -}}
{{- $own = dict "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $beside)) -}}
{{- end -}}
{{- toYaml (merge (deepCopy $.Values.puller.affinity) $own) -}}
{{- end -}}

{{/* root, restart: its restart policy; script: what it runs, or else `sigmirror run`; labels: more of them */}}
{{- define "sigmirror.puller.template" -}}
{{- $ := .root -}}
metadata:
  labels:
    {{- $metrics := ternary (dict) (dict "sigmirror/metrics" "true") (not (empty .script)) }}
    {{- include "sigmirror.labels" (dict "root" $ "component" "puller" "more" (list $metrics .labels $.Values.puller.podLabels)) | nindent 4 }}
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
  {{- $of := merge (dict "affinity" (include "sigmirror.puller.affinity" . | fromYaml)) $.Values.puller }}
  {{- include "sigmirror.placement" (dict "root" $ "component" "puller" "of" $of "spread" false) | nindent 2 }}
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
