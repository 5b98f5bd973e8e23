{{/* The names and labels that the objects share. */}}

{{/* What GitLab's chart calls everything. It is also the pod label that workspaces let in, which no value changes. */}}
{{- define "gateway.label" -}}gitlab-workspaces-proxy{{- end }}

{{- define "gateway.fullname" -}}
{{- $name := default (include "gateway.label" .) .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* A name that leaves room for a suffix: Service names end at 63 characters. */}}
{{- define "gateway.sshName" -}}{{ printf "%s-ssh" (include "gateway.fullname" . | trunc 59 | trimSuffix "-") }}{{- end }}
{{- define "gateway.adminName" -}}{{ printf "%s-admin" (include "gateway.fullname" . | trunc 57 | trimSuffix "-") }}{{- end }}
{{- define "gateway.dashboardName" -}}{{ printf "%s-dashboard" (include "gateway.fullname" .) }}{{- end }}
{{- define "gateway.settingsName" -}}{{ printf "%s-settings" (include "gateway.fullname" .) }}{{- end }}

{{/* Of roles, which lie in namespaces that other releases may watch too, or in none. */}}
{{- define "gateway.roleName" -}}{{ printf "%s-%s" .Release.Namespace (include "gateway.fullname" .) }}{{- end }}

{{- define "gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "gateway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "gateway.label" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* An operator's labels never replace those that something selects by. */}}
{{- define "gateway.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $selected := include "gateway.selectorLabels" . | fromYaml -}}
{{- toYaml (merge $selected .Values.labels $own) -}}
{{- end }}

{{- define "gateway.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
