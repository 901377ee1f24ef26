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
  verbs: [get, list, create, update, delete]
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
{{- if .Values.backups.enabled }}
{{ include "lastgood.backupRules" . }}
{{- end }}
{{- if eq (toString .Values.rbac.secrets) "true" }}
{{ include "lastgood.secretRules" . }}
{{- end }}
{{- end }}
{{- define "lastgood.secretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  # Keys of repositories are made where a BackupSchedule asks for it.
  verbs: [get{{ if or .Values.rbac.secretCopies .Values.backups.enabled }}, create{{ end }}]
{{- end }}
{{- define "lastgood.backupImage" -}}
{{ .Values.backups.image | default (printf "docker.io/local/lastgood-backup:%s" .Chart.AppVersion) }}
{{- end }}
{{- define "lastgood.backupRules" -}}
- apiGroups: [lastgood.dev]
  resources: [backupschedules, backups, restores]
  verbs: [get, list, watch]
- apiGroups: [lastgood.dev]
  resources: [backups, restores]
  verbs: [create]
# For one finalizer, while their workloads are stopped.
- apiGroups: [lastgood.dev]
  resources: [restores]
  verbs: [patch]
# Scaled to 0 and back; Deployments may be patched anyway.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, patch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list]
- apiGroups: [lastgood.dev]
  resources: [backupschedules/status, backups/status, restores/status]
  verbs: [get, patch, update]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [create, update, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, create, update, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, create]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  verbs: [get, list, create, update, delete]
# Nothing but the roles of jobs can be given away.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames:
    {{- range list "job" "receive" "logs" "config" "secrets" }}
    - {{ include "lastgood.wideName" $ }}-backup-{{ . }}
    {{- end }}
  verbs: [bind]
{{- end }}
