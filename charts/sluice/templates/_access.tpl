{{/*
A ServiceAccount, and what it may do where objects are reconciled: {root, name, rules, config}. That is everywhere, or with
watchAllNamespaces=false in the release's own namespace and nowhere else. config are the rules about Secrets and ConfigMaps
that objects name: with tenancy.namespaces they hold in those, and in the release's own.
*/}}
{{- define "sluice.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
---
{{- $namespace := .root.Values.watchAllNamespaces | ternary "" .root.Release.Namespace }}
{{- $tenants := empty .config | ternary list .root.Values.tenancy.namespaces }}
{{- $rules := empty $tenants | ternary (printf "%s\n%s" .rules (.config | default "") | trim) .rules }}
{{ include "sluice.grant" (dict "root" .root "name" .name "role" (printf "sluice-%s" .name) "rules" $rules "namespace" $namespace) }}
{{- if $tenants }}
{{- range append $tenants .root.Release.Namespace | uniq }}
---
{{ include "sluice.grant" (dict "root" $.root "name" $.name "role" (printf "sluice-%s-config" $.name) "rules" $.config "namespace" .) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
What a component may do in the release's own namespace: {root, name, rules}. Leader election is added when there are several
to elect from.
*/}}
{{- define "sluice.ownRole" -}}
{{- $rules := .rules }}
{{- if gt (int .values.replicas) 1 }}
{{- $rules = printf "%s\n%s" (.rules | default "") (include "sluice.election.rules" .) | trim }}
{{- end }}
{{- with $rules }}
---
{{ include "sluice.grant" (dict "root" $.root "name" $.name "role" $.name "rules" . "namespace" $.root.Release.Namespace) }}
{{- end }}
{{- end }}

{{- define "sluice.election.rules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
{{- end }}

{{/* A role and its binding to a component's ServiceAccount: {root, name, role, rules, namespace}; no namespace: everywhere. */}}
{{- define "sluice.grant" -}}
{{- $scope := empty .namespace | ternary "Cluster" "" }}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $scope }}Role
metadata:
  name: {{ .role }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $scope }}RoleBinding
metadata:
  name: {{ .role }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $scope }}Role
  name: {{ .role }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
