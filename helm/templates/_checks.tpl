{{/* Combinations that cannot work are refused before anything is installed. */}}

{{- define "sigmirror.checks" -}}
{{- if .Values.mirror.enabled -}}
{{- include "sigmirror.checks.mirror" . -}}
{{- else if not .Values.scanner.enabled -}}
{{- fail "mirror.enabled=false: nothing is left to install: set scanner.enabled=true" -}}
{{- end -}}
{{- if .Values.scanner.enabled -}}
{{- include "sigmirror.checks.scanner" . -}}
{{- end -}}
{{- end -}}

{{- define "sigmirror.checks.mirror" -}}
{{- $several := gt (int (include "sigmirror.mostReplicas" .)) 1 -}}
{{- $shared := has "ReadWriteMany" .Values.persistence.accessModes -}}
{{- $onVolume := eq .Values.store.type "volume" -}}
{{- $inProcess := eq (include "sigmirror.pullsItself" .) "true" -}}
{{- $raw := not (empty .Values.configRaw) -}}
{{- $serve := default dict .Values.config.serve -}}
{{- $fleet := default dict .Values.config.fleet -}}
{{- $access := default "open" $serve.access -}}
{{- if and $several $inProcess -}}
{{- fail "puller.kind=InProcess: with several replicas, or an autoscaler, each would pull and sign; set puller.kind=CronJob or Deployment" -}}
{{- end -}}
{{- if and $several $onVolume (not $shared) -}}
{{- fail "several replicas read one volume: set store.type=s3, or persistence.accessModes=[ReadWriteMany]" -}}
{{- end -}}
{{- if and $onVolume (not $inProcess) (not $shared) -}}
{{- fail "puller.kind: a puller of its own writes where the mirror reads: set store.type=s3, or persistence.accessModes=[ReadWriteMany]" -}}
{{- end -}}
{{- if and (eq .Values.store.type "s3") (not .Values.store.s3.url) -}}
{{- fail "store.s3.url: missing, such as s3://definitions/mirror" -}}
{{- end -}}
{{- range $key := list "url" "folder" "endpoint" "region" "addressing" "cache" "cache_max_bytes" "lock" -}}
{{- if hasKey $.Values.store.s3.settings $key -}}
{{- fail (printf "store.s3.settings.%s: the chart writes it" $key) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.puller.suspend $inProcess -}}
{{- fail "puller.suspend: puller.kind=InProcess pulls in the mirror itself; set puller.kind=CronJob or Deployment" -}}
{{- end -}}
{{- if and .Values.founding.existingConfigMap (not $onVolume) -}}
{{- fail "founding: only for store.type=volume; `sigmirror init --store s3://…` founds a repository in a bucket" -}}
{{- end -}}
{{- if and .Values.tls.terminatedByProxy .Values.tls.existingSecret -}}
{{- fail "tls.terminatedByProxy: with tls.existingSecret the mirror does TLS itself; empty one of them" -}}
{{- end -}}
{{- if and .Values.tls.terminatedByProxy (empty .Values.tls.trustedProxies) -}}
{{- fail "tls.trustedProxies: empty, though tls.terminatedByProxy is set: name the ingress controller's networks" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) -}}
{{- fail "autoscaling.maxReplicas: less than autoscaling.minReplicas" -}}
{{- end -}}
{{- if and (eq .Values.puller.kind "CronJob") (lt (int .Values.puller.activeDeadlineSeconds) (int .Values.puller.waitSeconds)) -}}
{{- fail "puller.activeDeadlineSeconds: a pull may wait for longer (puller.waitSeconds)" -}}
{{- end -}}
{{- if not $raw -}}
{{- range $key := list "store" "signing" -}}
{{- if hasKey $.Values.config $key -}}
{{- fail (printf "config.%s: the chart writes it: see the values %s.*" $key $key) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "listen" "metrics_listen" "tls" "tls_terminated_by_proxy" "trusted_proxies" -}}
{{- if hasKey $serve $key -}}
{{- fail (printf "config.serve.%s: the chart writes it: see the values service.* and tls.*" $key) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "database" "database_password_file" -}}
{{- if hasKey $fleet $key -}}
{{- fail (printf "config.fleet.%s: the chart writes it: see the values fleet.postgresql.*" $key) -}}
{{- end -}}
{{- end -}}
{{- if and (ne $access "open") (not .Values.tls.existingSecret) (not .Values.tls.terminatedByProxy) -}}
{{- fail (printf "config.serve.access=%s: credentials would travel in the clear: set tls.existingSecret, or tls.terminatedByProxy with tls.trustedProxies" $access) -}}
{{- end -}}
{{- if and (or $several (not $inProcess)) (not .Values.fleet.postgresql.url) (not (and (hasKey $fleet "enabled") (not $fleet.enabled))) -}}
{{- fail "fleet: pods that serve and the one that pulls have the reports of hosts in one PostgreSQL: set fleet.postgresql.url, or config.fleet.enabled=false" -}}
{{- end -}}
{{- include "sigmirror.checks.rhythm" . -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not (dig "requests" "cpu" "" .Values.resources)) -}}
{{- fail "autoscaling.enabled: measures against resources.requests.cpu, which is not set" -}}
{{- end -}}
{{- if and (eq .Values.puller.kind "CronJob") .Values.puller.operator (has "ReadWriteOncePod" .Values.persistence.accessModes) -}}
{{- fail "puller.operator: its pod would keep a claim of ReadWriteOncePod from every pull; set persistence.accessModes=[ReadWriteOnce]" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (ne (include "sigmirror.hasProxy" .) "true") -}}
{{- include "sigmirror.checks.network" . -}}
{{- end -}}
{{- end -}}

{{/* Whether the environment may name a proxy, so that addresses do not tell where connections go. */}}
{{- define "sigmirror.hasProxy" -}}
{{- $found := not (empty (printf "%s%s" .Values.extraEnvVarsCM .Values.extraEnvVarsSecret)) -}}
{{- range .Values.extraEnvVars -}}
{{- $found = or $found (hasSuffix "_proxy" (lower .name)) -}}
{{- end -}}
{{- $found -}}
{{- end -}}

{{/* What the settings name must be let through: a connection that hangs tells nobody why. */}}
{{- define "sigmirror.checks.network" -}}
{{- $policy := .Values.networkPolicy -}}
{{- if eq .Values.store.type "s3" -}}
{{- include "sigmirror.checks.port" (dict "root" . "of" "store.s3.endpoint" "url" .Values.store.s3.endpoint "default" 443 "rules" "store") -}}
{{- end -}}
{{- include "sigmirror.checks.port" (dict "root" . "of" "fleet.postgresql.url" "url" .Values.fleet.postgresql.url "default" 5432 "rules" "database") -}}
{{- if not .Values.configRaw -}}
{{- range .Values.config.upstream -}}
{{- include "sigmirror.checks.port" (dict "root" $ "of" (printf "config.upstream %s" .name) "url" .url "default" (ternary 80 443 (hasPrefix "http:" (toString .url))) "rules" "vendors") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* root, of (whose url), url, default (its port, where it names none), rules (their value) */}}
{{- define "sigmirror.checks.port" -}}
{{- if .url -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- $port := include "sigmirror.port" . | int -}}
{{- $open := false -}}
{{- range concat (get $policy .rules) $policy.extraEgress -}}
{{- $open = or $open (empty .ports) -}}
{{- range .ports -}}
{{- $first := int .port -}}
{{- $open = or $open (eq $first 0) (and (le $first $port) (le $port (int (default $first .endPort)))) -}}
{{- end -}}
{{- end -}}
{{- if not $open -}}
{{- fail (printf "networkPolicy.%s: no rule lets port %d of %s through: add { to: [...], ports: [{ port: %d, protocol: TCP }] }" .rules $port .of $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Roles are signed anew at a quarter of their validity, by whoever pulls. */}}
{{- define "sigmirror.checks.rhythm" -}}
{{- $expiry := default dict .Values.config.expiry -}}
{{- $shortest := min (int (default 259200 $expiry.timestamp_seconds)) (int (default 604800 $expiry.snapshot_seconds)) (int (default 2592000 $expiry.channels_seconds)) -}}
{{- if and (eq .Values.puller.kind "CronJob") (gt (mul 240 (int .Values.puller.everyMinutes)) (int64 $shortest)) -}}
{{- fail (printf "puller.everyMinutes=%d: more than a quarter of the shortest role expiry (%d s): roles would expire between two pulls" (int .Values.puller.everyMinutes) $shortest) -}}
{{- end -}}
{{- $rollout := default dict .Values.config.rollout -}}
{{- if and (eq .Values.puller.kind "CronJob") .Values.config.canary (not (and (hasKey $rollout "automatic") (not $rollout.automatic))) -}}
{{- fail "config.canary: stable follows canary by itself only where something runs all the time: set puller.kind=Deployment, or config.rollout.automatic=false" -}}
{{- end -}}
{{- end -}}

{{- define "sigmirror.checks.scanner" -}}
{{- if and (eq .Values.scanner.kind "CronJob") (not .Values.scanner.shared.existingClaim) -}}
{{- fail "scanner.shared.existingClaim: missing: the volume that the clamd elsewhere reads" -}}
{{- end -}}
{{- if and .Values.scanner.enabled (empty .Values.scanner.channels) (not .Values.scanner.configRaw) -}}
{{- fail "scanner.channels: empty: name the channels that the engine reads" -}}
{{- end -}}
{{- if and (empty .Values.scanner.mirrors) (not .Values.scanner.configRaw) -}}
{{- if not .Values.mirror.enabled -}}
{{- fail "scanner.mirrors: empty, and this release has no mirror (mirror.enabled=false): name its address" -}}
{{- end -}}
{{- if .Values.tls.terminatedByProxy -}}
{{- fail "scanner.mirrors: empty, and the mirror answers its proxy only (tls.terminatedByProxy): name the proxy's address" -}}
{{- end -}}
{{- if and (not .Values.tls.existingSecret) .Values.scanner.ca.existingSecret -}}
{{- fail "scanner.ca.existingSecret: the mirror of this release does no TLS (tls.existingSecret is empty): empty it, too" -}}
{{- end -}}
{{- end -}}
{{- range $key := list "mirrors" "credential_file" "state" "repository" "engine" "interval_seconds" "ca_file" -}}
{{- if hasKey $.Values.scanner.config $key -}}
{{- fail (printf "scanner.config.%s: the chart writes it: see the values scanner.*" $key) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "LocalSocket" "TCPSocket" "TCPAddr" "DatabaseDirectory" "User" "Foreground" -}}
{{- if hasKey $.Values.scanner.clamd.config $key -}}
{{- fail (printf "scanner.clamd.config.%s: the chart writes it" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
