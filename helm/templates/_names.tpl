{{/* Names, labels, images: what every manifest shares. */}}

{{- define "sigmirror.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "sigmirror.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "sigmirror.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sigmirror.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sigmirror.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "sigmirror.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "sigmirror.claim" -}}
{{- default (include "sigmirror.fullname" .) .Values.persistence.existingClaim -}}
{{- end -}}

{{/* What selects pods: root, component. It never changes between versions. */}}
{{- define "sigmirror.selector" -}}
app.kubernetes.io/name: {{ include "sigmirror.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of a manifest or pod: root, component; more of them (tables, the first counts). */}}
{{- define "sigmirror.labels" -}}
{{- $labels := include "sigmirror.selector" . | fromYaml -}}
{{- $chart := printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" -}}
{{- $version := dict "app.kubernetes.io/version" .root.Chart.AppVersion "app.kubernetes.io/managed-by" .root.Release.Service "helm.sh/chart" $chart -}}
{{- range concat (list $version) (default list .more) (list .root.Values.commonLabels) -}}
{{- $labels = merge $labels (default dict .) -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* Metadata of a manifest: root, component; name and labels or annotations beyond the common ones. */}}
{{- define "sigmirror.metadata" -}}
name: {{ default (include "sigmirror.fullname" .root) .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "sigmirror.labels" (dict "root" .root "component" .component "more" (list .labels)) | nindent 2 }}
{{- with merge (dict) (default dict .annotations) (default dict .root.Values.commonAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The port of an address: url, and default where it names none. */}}
{{- define "sigmirror.port" -}}
{{- default (toString .default) (regexFind "[0-9]+$" (regexFind ":[0-9]+$" (urlParse .url).host)) -}}
{{- end -}}

{{/* root, image */}}
{{- define "sigmirror.image" -}}
{{- $name := .image.repository -}}
{{- with .image.registry -}}{{- $name = printf "%s/%s" . $name -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What every pod says of itself; the account has nothing to ask the cluster for. */}}
{{- define "sigmirror.pod" -}}
serviceAccountName: {{ include "sigmirror.serviceAccount" . }}
automountServiceAccountToken: {{ .Values.serviceAccount.automountServiceAccountToken }}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where a pod may stand: root, component, of (values), spread (over nodes and zones). */}}
{{- define "sigmirror.placement" -}}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if .spread }}
topologySpreadConstraints:
  {{- if .of.topologySpreadConstraints }}
  {{- toYaml .of.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "sigmirror.selector" $ | nindent 8 }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end -}}
