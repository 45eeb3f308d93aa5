{{/* What objects are called, and the labels and annotations that they all have. */}}

{{- define "mcp-orchestrator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "mcp-orchestrator.fullname" -}}
{{- $name := include "mcp-orchestrator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "mcp-orchestrator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "mcp-orchestrator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "mcp-orchestrator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.create is false: set serviceAccount.name to the account to use" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "mcp-orchestrator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mcp-orchestrator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "mcp-orchestrator.labels" -}}
{{- $standard := dict
  "app.kubernetes.io/name" (include "mcp-orchestrator.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/component" "operator"
  "app.kubernetes.io/part-of" "mcp-orchestrator"
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_")
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
}}
{{- toYaml (merge $standard .Values.commonLabels) }}
{{- end }}

{{- /* The metadata of an object. Called with a dict: root, name; namespace, labels and annotations if there are any. */}}
{{- define "mcp-orchestrator.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- toYaml (merge (dict) (default (dict) .labels) (include "mcp-orchestrator.labels" .root | fromYaml)) | nindent 2 }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Annotations of the CRDs as a JSON object, or nothing. Called by templates/crds, which hack/generate makes. */}}
{{- define "mcp-orchestrator.crdAnnotations" -}}
{{- $annotations := merge (dict) .Values.crds.annotations .Values.commonAnnotations }}
{{- if .Values.crds.keep }}
{{- $_ := set $annotations "helm.sh/resource-policy" "keep" }}
{{- end }}
{{- if $annotations }}
{{- toJson $annotations }}
{{- end }}
{{- end }}

{{- /* Namespaces that the operator serves, as a JSON list; an empty list means all. */}}
{{- define "mcp-orchestrator.watchNamespaces" -}}
{{- if and (not .Values.watchNamespaces) (eq .Values.rbac.scope "namespaced") }}
{{- toJson (list (include "mcp-orchestrator.namespace" .)) }}
{{- else }}
{{- toJson (.Values.watchNamespaces | uniq) }}
{{- end }}
{{- end }}
