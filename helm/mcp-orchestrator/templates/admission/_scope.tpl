{{/* The namespaces in which a policy applies: those that the operator serves. */}}

{{- define "mcp-orchestrator.policyScope" -}}
{{- with include "mcp-orchestrator.watchNamespaces" . | fromJsonArray }}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: In
      values: {{ toJson . }}
{{- end }}
{{- end }}
