{{- define "lastgood.name" -}}
{{- if contains "lastgood" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-lastgood" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}
{{- define "lastgood.wideName" -}}
{{- $name := include "lastgood.name" . }}
{{- if eq $name .Release.Namespace }}{{ $name }}{{ else }}{{ .Release.Namespace }}:{{ $name }}{{ end }}
{{- end }}
{{- define "lastgood.selector" -}}
app.kubernetes.io/name: lastgood
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "lastgood.labels" -}}
{{ include "lastgood.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
{{- define "lastgood.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- define "lastgood.rules" -}}
- apiGroups: [lastgood.dev]
  resources: [monitoredservices, rollbacks, servicelevelobjectives]
  verbs: [get, list, watch]
- apiGroups: [lastgood.dev]
  resources: [rollbacks]
  verbs: [create]
- apiGroups: [lastgood.dev]
  resources: [monitoredservices/status, rollbacks/status, servicelevelobjectives/status]
  verbs: [get, patch, update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, patch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list]
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, update]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if eq (toString .Values.rbac.secrets) "true" }}
{{ include "lastgood.secretRules" . }}
{{- end }}
{{- end }}
{{- define "lastgood.secretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get{{ if .Values.rbac.secretCopies }}, create{{ end }}]
{{- end }}
