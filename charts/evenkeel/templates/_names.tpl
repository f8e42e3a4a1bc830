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
