{{/* A component's ServiceAccount. Pods mount its token, and only those that ask for it. Called with (list $ COMPONENT). */}}
{{- define "eastway.serviceAccount" -}}
{{- $ := index . 0 -}}
{{- $component := index . 1 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "eastway.metadata" (list $ $component $component) | nindent 2 }}
  {{- with index $.Values $component "serviceAccountAnnotations" }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}

{{/* Binds the component's ClusterRole to its ServiceAccount. Called with (list $ COMPONENT). */}}
{{- define "eastway.clusterRoleBinding" -}}
{{- $ := index . 0 -}}
{{- $name := printf "%s-%s" (include "eastway.name" $) (index . 1) -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $name }}
  labels:
    {{- include "eastway.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $name }}}
subjects:
  - {kind: ServiceAccount, name: {{ $name }}, namespace: {{ $.Release.Namespace }}}
{{- end }}

{{/* Binds the component's Role to its ServiceAccount. Called with (list $ COMPONENT). */}}
{{- define "eastway.roleBinding" -}}
{{- $ := index . 0 -}}
{{- $name := printf "%s-%s" (include "eastway.name" $) (index . 1) -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "eastway.metadata" (list $ (index . 1) (index . 1)) | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects:
  - {kind: ServiceAccount, name: {{ $name }}, namespace: {{ $.Release.Namespace }}}
{{- end }}
