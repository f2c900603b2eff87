{{/* metadata of a pod; without versions, so that an upgrade restarts only what it changes. Called with (list $ COMPONENT). */}}
{{- define "eastway.podMetadata" -}}
{{- $ := index . 0 -}}
{{- $values := index $.Values (index . 1) -}}
labels:
  {{- merge (include "eastway.selector" . | fromYaml) $values.podLabels $.Values.commonLabels | toYaml | nindent 2 }}
annotations:
  {{- merge (dict "kubectl.kubernetes.io/default-container" (index . 1)) $values.podAnnotations | toYaml | nindent 2 }}
{{- end }}

{{/* Where a pod may run, and as what. Called with (list $ COMPONENT). */}}
{{- define "eastway.podCommon" -}}
{{- $ := index . 0 -}}
{{- $values := index $.Values (index . 1) -}}
serviceAccountName: {{ include "eastway.name" $ }}-{{ index . 1 }}
automountServiceAccountToken: true
# This namespace can hold thousands of derived Services: too many for environment variables.
enableServiceLinks: false
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
nodeSelector:
  {{- merge (dict "kubernetes.io/os" "linux") $values.nodeSelector | toYaml | nindent 2 }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* securityContext of pods that need nothing of the node. */}}
{{- define "eastway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* securityContext of their containers. */}}
{{- define "eastway.security" -}}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What all containers have. Called with (list $ COMPONENT). */}}
{{- define "eastway.container" -}}
{{- $ := index . 0 -}}
{{- $values := index $.Values (index . 1) -}}
name: {{ index . 1 }}
image: {{ include "eastway.image" $ }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
env:
  - name: NODE_NAME
    valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
  {{- with $values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
{{- end }}

{{/* Probes of a container whose health port is called so: (list READINESSPATH SECONDS). A process that hangs is restarted; one that
     is not ready is left alone. */}}
{{- define "eastway.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: {{ index . 0 }}, port: health}
  periodSeconds: {{ index . 1 }}
  timeoutSeconds: 1
  failureThreshold: 2
{{- end }}

{{/* Spread a component's pods: (list $ COMPONENT TOPOLOGYKEY WHENUNSATISFIABLE). */}}
{{- define "eastway.spread" -}}
{{- if index . 3 }}
- maxSkew: 1
  topologyKey: {{ index . 2 }}
  whenUnsatisfiable: {{ index . 3 }}
  labelSelector:
    matchLabels:
      {{- include "eastway.selector" . | nindent 6 }}
  # Counts the pods of one revision only: else those that an upgrade replaces push the new ones together.
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
