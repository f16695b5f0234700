{{/* A table of values as TOML: what is plain first, then tables and lists of tables. */}}

{{- define "sigmirror.toml" -}}
{{- range $key, $value := .table -}}
{{- if not (or (kindIs "invalid" $value) (kindIs "map" $value) (eq (include "sigmirror.toml.isTables" $value) "true")) -}}
{{ include "sigmirror.toml.key" $key }} = {{ include "sigmirror.toml.value" $value }}
{{ end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- $path := include "sigmirror.toml.key" $key -}}
{{- if $.path -}}{{- $path = printf "%s.%s" $.path $path -}}{{- end -}}
{{- if kindIs "map" $value }}
[{{ $path }}]
{{ include "sigmirror.toml" (dict "table" $value "path" $path) -}}
{{- else if eq (include "sigmirror.toml.isTables" $value) "true" -}}
{{- range $value }}
[[{{ $path }}]]
{{ include "sigmirror.toml" (dict "table" . "path" $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sigmirror.toml.isTables" -}}
{{- and (kindIs "slice" .) (not (empty .)) (kindIs "map" (first (default (list "") .))) -}}
{{- end -}}

{{- define "sigmirror.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . -}}{{ . }}{{- else -}}{{ include "sigmirror.toml.value" . }}{{- end -}}
{{- end -}}

{{/* JSON is TOML but for one character, which TOML wants to be escaped. */}}
{{- define "sigmirror.toml.value" -}}
{{- toRawJson . | replace "\x7f" "\\u007f" -}}
{{- end -}}
