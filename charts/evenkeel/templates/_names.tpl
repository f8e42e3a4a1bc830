{{- define "evenkeel.name" -}}
{{- if contains "evenkeel" .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-evenkeel" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "evenkeel.selector" -}}
app.kubernetes.io/name: evenkeel
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "evenkeel.labels" -}}
{{ include "evenkeel.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "evenkeel.image" -}}
{{- $repository := required "image.repository is required: the image that you built from deploy/Dockerfile" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* Not empty when replicas agree through a lease table. */ -}}
{{- define "evenkeel.leased" -}}
{{- if eq (dig "lease" "backend" "none" .Values.config) "dynamodb" -}}yes{{- end -}}
{{- end -}}

{{- define "evenkeel.replicas" -}}
{{- $replicas := int .Values.replicas -}}
{{- if and (gt $replicas 1) (not (include "evenkeel.leased" .)) -}}
{{- fail "replicas above 1 need config.lease.backend: dynamodb (docs/operations.md, \"One, or two or more\"): without a lease two daemons would work against each other" -}}
{{- end -}}
{{- $replicas -}}
{{- end -}}

{{- /* Helm reads numbers of values files as floats: an account id would become 1.23456789012e+11. */ -}}
{{- define "evenkeel.configuration" -}}
{{- range $key := list "instance" "target" -}}
{{- if not (has (kindOf (get $.Values.config $key)) (list "string" "int64" "invalid")) -}}
{{- fail (printf "config.%s must be text: put it in quotes" $key) -}}
{{- end -}}
{{- end -}}
{{- toToml .Values.config -}}
{{- end -}}

{{- /* What `evenkeel config` prints where nothing was said counts as not said. */ -}}
{{- define "evenkeel.manifests" -}}
{{- $path := dig "manifests" "path" "" .Values.config -}}
{{- if ne $path "manifests" -}}{{- $path -}}{{- end -}}
{{- end -}}

{{- /* The default is loopback, which could not be scraped or probed. */ -}}
{{- define "evenkeel.listen" -}}
{{- $listen := dig "http" "listen" "" .Values.config -}}
{{- if not (has $listen (list "" "127.0.0.1:9464")) -}}
{{- if or (hasPrefix "127." $listen) (hasPrefix "[::1]" $listen) -}}
{{- fail (printf "config.http.listen is %s, which Kubernetes cannot probe: leave it out, or name 0.0.0.0 and a port" $listen) -}}
{{- end -}}
{{- $listen -}}
{{- end -}}
{{- end -}}

{{- define "evenkeel.port" -}}
{{- include "evenkeel.listen" . | default "0.0.0.0:9464" | splitList ":" | last -}}
{{- end -}}

{{- define "evenkeel.claim" -}}
{{- if and .Values.cache.existingClaim (include "evenkeel.leased" .) -}}
{{- fail "cache.existingClaim is for one pod at a time: leave it out beside config.lease, where the other replica goes on" -}}
{{- end -}}
{{- .Values.cache.existingClaim -}}
{{- end -}}

{{- /* The environment goes over the file, so what config says is left out here. */ -}}
{{- define "evenkeel.environment" -}}
{{- $env := list -}}
{{- /* Sources take the place of the directory, and the daemon refuses both. */ -}}
{{- if not (or .Values.config.sources (include "evenkeel.manifests" .)) -}}
{{- $env = append $env (dict "name" "EVENKEEL_MANIFESTS__PATH" "value" "/manifests") -}}
{{- end -}}
{{- if not .Values.config.cacheDirectory -}}
{{- $env = append $env (dict "name" "EVENKEEL_CACHE_DIRECTORY" "value" "/cache") -}}
{{- end -}}
{{- /* Of the pod only. */ -}}
{{- if not (include "evenkeel.listen" .) -}}
{{- $env = append $env (dict "name" "EVENKEEL_HTTP__LISTEN" "value" "0.0.0.0:9464") -}}
{{- end -}}
{{- with concat $env .Values.env -}}{{- toYaml . -}}{{- end -}}
{{- end -}}
