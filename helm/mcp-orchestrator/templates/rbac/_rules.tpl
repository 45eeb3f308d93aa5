{{/* What the operator and its runners may do. Exactly what they use: there is no wildcard, and no right to a Secret. */}}

{{- define "mcp-orchestrator.operatorRules" -}}
- apiGroups: [mcp-orchestrator.io]
  resources: [mcpservers, workflowtemplates, workflowruns]
  verbs: [list, watch]
- apiGroups: [mcp-orchestrator.io]
  resources: [workflowruns]
  verbs: [get]
- apiGroups: [mcp-orchestrator.io]
  resources: [mcpservers/status, workflowtemplates/status, workflowruns/status]
  verbs: [patch]
# Schedules start runs.
- apiGroups: [mcp-orchestrator.io]
  resources: [workflowruns]
  verbs: [create]
# Ended runs, when their time is over; of those that Git or Helm owns, only their Jobs and their large results. An
# admission policy holds the deletion of children to those of runs.
- apiGroups: [mcp-orchestrator.io]
  resources: [workflowruns]
  verbs: [delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [delete]
# Children name their owner with blockOwnerDeletion. Some clusters (OpenShift) ask for this right then.
- apiGroups: [mcp-orchestrator.io]
  resources: [mcpservers/finalizers, workflowtemplates/finalizers, workflowruns/finalizers]
  verbs: [update]
# Those that are over are deleted. What is in them is the runners' affair.
- apiGroups: [mcp-orchestrator.io]
  resources: [cachedanswers]
  verbs: [list, delete]
# What became of idempotency keys.
- apiGroups: [mcp-orchestrator.io]
  resources: [runreceipts]
  verbs: [get, list, create, update, delete]
- apiGroups: [batch]
  resources: [jobs]
  # Of runs that were stopped; and of an attempt that Kueue ended, for it would start the Job again.
  verbs: [get, list, watch, create, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
# Parameters of runs that stand in ConfigMaps are checked before the run is admitted. Secrets are not: pods mount them.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, list]
{{- if eq .Values.rbac.scope "cluster" }}
# The account of the runners in each namespace with runs, and its binding. Both are made by server-side apply, for which
# the API server knows the name: so the right is for that name alone. It may bind that one role, which gives more than the
# operator itself has: runners create ConfigMaps and Secrets.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [mcp-orchestrator-runner]
  verbs: [bind]
- apiGroups: [""]
  resources: [serviceaccounts]
  resourceNames: [mcp-orchestrator-runner]
  verbs: [create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  resourceNames: [mcp-orchestrator-runner]
  verbs: [create, patch]
{{- end }}
{{- end }}

{{- define "mcp-orchestrator.runnerRules" -}}
- apiGroups: [mcp-orchestrator.io]
  resources: [workflowruns]
  verbs: [get]
- apiGroups: [mcp-orchestrator.io]
  resources: [workflowruns/status]
  verbs: [patch]
# Answers of calls, which stand under digests: whoever can make the call knows the name, and nobody sees the others.
- apiGroups: [mcp-orchestrator.io]
  resources: [cachedanswers]
  verbs: [get, create, patch]
# Results that are too large for the status, and sensitive outputs. An admission policy holds a runner to its own.
- apiGroups: [""]
  resources: [configmaps, secrets]
  verbs: [create]
{{- end }}
