{{/* ServiceAccount, and the ClusterRole with its binding: {root, name, rules}. */}}
{{- define "sluice.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: sluice-{{ .name }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: sluice-{{ .name }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: sluice-{{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}

{{/* A Role in the release's own namespace, with its binding: {root, name, rules}. Leader election is added when it is on. */}}
{{- define "sluice.ownRole" -}}
{{- $election := gt (int .values.replicas) 1 }}
{{- if or .rules $election }}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
rules:
  {{- with .rules }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if $election }}
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    verbs: [get, create, update, patch]
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- end }}

{{/* What a component may read of Secrets and ConfigMaps: in all namespaces, or in those of tenancy.namespaces: {root, name, rules}. */}}
{{- define "sluice.configReader" -}}
{{- $ := . }}
{{- $namespaces := .root.Values.tenancy.namespaces }}
{{- if $namespaces }}
{{- range $i, $namespace := (append $namespaces .root.Release.Namespace | uniq) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: sluice-{{ $.name }}-config
  namespace: {{ $namespace }}
  labels:
    {{- include "sluice.labels" $ | nindent 4 }}
rules:
  {{- $.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: sluice-{{ $.name }}-config
  namespace: {{ $namespace }}
  labels:
    {{- include "sluice.labels" $ | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: sluice-{{ $.name }}-config
subjects:
  - kind: ServiceAccount
    name: {{ $.name }}
    namespace: {{ $.root.Release.Namespace }}
{{- end }}
{{- else }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: sluice-{{ .name }}-config
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: sluice-{{ .name }}-config
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: sluice-{{ .name }}-config
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- end }}
