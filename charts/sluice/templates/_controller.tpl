{{/* Labels of one component: {root, name}. The part-of label is what Flux's command line looks for. */}}
{{- define "sluice.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: flux
app.kubernetes.io/version: v{{ .root.Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "sluice.selector" -}}
app: {{ .name }}
{{- end }}

{{- define "sluice.natsURL" -}}
{{- if .Values.nats.enabled -}}
nats://nats.$(RUNTIME_NAMESPACE).svc.cluster.local.:4222
{{- else -}}
{{ .Values.nats.url }}
{{- end -}}
{{- end }}

{{/* Refuses values that fit the schema and cannot work: {root, name, values}. */}}
{{- define "sluice.sound" -}}
{{- if and .root.Values.tenancy.namespaces (not .root.Values.watchAllNamespaces) }}
{{- fail "tenancy.namespaces narrows what watchAllNamespaces=false confines to one namespace already: set one of them" }}
{{- end }}
{{- if and .values.storage .values.storage.size (gt (int .values.replicas) 1) }}
{{- fail (printf "%s: storage.size is one volume, which replicas on several nodes cannot share: set replicas to 1, or leave storage.size empty" .name) }}
{{- end }}
{{- $own := list "--log-level" "--log-encoding" "--watch-all-namespaces" "--metrics-addr" "--health-addr" "--nats-url" "--nats-creds" "--enable-leader-election" "--storage-path" "--storage-addr" "--storage-adv-addr" "--events-addr" "--no-cross-namespace-refs" "--default-service-account" "--config-namespaces" }}
{{- range .values.extraArgs }}
{{- if has (regexFind "^--[a-z-]+" .) $own }}
{{- fail (printf "%s: extraArgs holds %s, which the chart sets from other values: see values.yaml" $.name .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The Deployment that all four controllers share: {root, name, values, args, ports}. */}}
{{- define "sluice.deployment" -}}
{{- include "sluice.sound" . }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  strategy:
    {{- if gt (int .values.replicas) 1 }}
    # One is elected to work. Where the others have no files to serve they are not ready, which must hold up no rollout.
    type: RollingUpdate
    rollingUpdate: {maxSurge: 0, maxUnavailable: 100%}
    {{- else }}
    # nobody is elected: two at a time would both write
    type: Recreate
    {{- end }}
  selector:
    matchLabels:
      {{- include "sluice.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "sluice.selector" . | nindent 8 }}
        {{- include "sluice.labels" . | nindent 8 }}
    spec:
      serviceAccountName: {{ .name }}
      terminationGracePeriodSeconds: 60
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: manager
          image: "{{ .root.Values.image.repository }}/{{ .name }}:{{ .root.Values.image.tag | default (printf "v%s" .root.Chart.AppVersion) }}"
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args:
            - --log-level={{ .root.Values.logLevel }}
            - --log-encoding=json
            - --watch-all-namespaces={{ .root.Values.watchAllNamespaces }}
            - --metrics-addr=:8080
            - --health-addr=:9440
            {{- with include "sluice.natsURL" .root }}
            - --nats-url={{ . }}
            {{- end }}
            {{- if .root.Values.nats.enabled }}
            - --nats-creds=/etc/sluice/nats
            {{- end }}
            {{- if gt (int .values.replicas) 1 }}
            - --enable-leader-election
            {{- end }}
            {{- range .args }}
            - {{ . }}
            {{- end }}
            {{- range .values.extraArgs }}
            - {{ . | quote }}
            {{- end }}
          env:
            - name: RUNTIME_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
            - name: GOMEMLIMIT
              valueFrom:
                resourceFieldRef:
                  resource: limits.memory
          ports:
            - {name: http-prom, containerPort: 8080}
            - {name: healthz, containerPort: 9440}
            {{- range .ports }}
            - {name: {{ .name }}, containerPort: {{ .port }}}
            {{- end }}
          livenessProbe:
            httpGet: {path: /healthz, port: healthz}
          readinessProbe:
            httpGet: {path: /readyz, port: healthz}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if .values.storage }}
            - {name: data, mountPath: /data}
            {{- end }}
            {{- if .root.Values.nats.enabled }}
            - {name: nats, mountPath: /etc/sluice/nats, readOnly: true}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: {}
        {{- if .values.storage }}
        - name: data
          {{- if .values.storage.size }}
          persistentVolumeClaim:
            claimName: {{ .name }}
          {{- else }}
          emptyDir: {}
          {{- end }}
        {{- end }}
        {{- if .root.Values.nats.enabled }}
        - name: nats
          secret:
            secretName: sluice-nats-{{ .name }}
        {{- end }}
{{- if and .values.storage .values.storage.size }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: {{ .values.storage.size }}
{{- end }}
{{- end }}

{{/* A Service in front of one port: {root, name, component, port, targetPort}. */}}
{{- define "sluice.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" (dict "root" .root "name" .component) | nindent 4 }}
spec:
  selector:
    {{- include "sluice.selector" (dict "name" .component) | nindent 4 }}
  ports:
    - {name: http, port: {{ .port }}, targetPort: {{ .targetPort }}}
{{- end }}

{{/* Who may connect to a component: {root, name, port, from: [component …]}; no from: every pod of the release's namespace. */}}
{{- define "sluice.networkPolicy" -}}
{{- if .root.Values.networkPolicies.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "sluice.selector" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - ports:
        - {protocol: TCP, port: 8080}
      from:
        - namespaceSelector: {}
    {{- if .port }}
    - ports:
        - {protocol: TCP, port: {{ .port }}}
      from:
        {{- range .from }}
        - podSelector:
            matchLabels:
              {{- include "sluice.selector" (dict "name" .) | nindent 14 }}
        {{- else }}
        - podSelector: {}
        {{- end }}
    {{- end }}
{{- end }}
{{- end }}
