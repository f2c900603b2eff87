{{/* What everything is called: the release's name, so that several objects still fit into 63 characters. */}}
{{- define "eastway.name" -}}
{{ .Release.Name | trunc 45 | trimSuffix "-" }}
{{- end }}

{{/* The cluster's name, without which nothing can be installed. */}}
{{- define "eastway.cluster" -}}
{{ required "cluster is required: this cluster's name, a DNS label that peers will know it by: --set cluster=NAME" .Values.cluster }}
{{- end }}

{{- define "eastway.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Labels by which Services, budgets and policies find pods; they never change. Called with (list $ COMPONENT). */}}
{{- define "eastway.selector" -}}
app.kubernetes.io/name: eastway
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of an object. Called with (list $ COMPONENT). */}}
{{- define "eastway.labels" -}}
{{- $ := index . 0 -}}
{{- merge (include "eastway.selector" . | fromYaml) (dict
      "app.kubernetes.io/version" ($.Values.image.tag | default $.Chart.AppVersion)
      "app.kubernetes.io/part-of" "eastway"
      "app.kubernetes.io/managed-by" $.Release.Service
      "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_")
    ) $.Values.commonLabels | toYaml }}
{{- end }}

{{/* metadata of an object in the release's namespace. Called with (list $ COMPONENT SUFFIX). */}}
{{- define "eastway.metadata" -}}
{{- $ := index . 0 -}}
name: {{ include "eastway.name" $ }}-{{ index . 2 }}
namespace: {{ $.Release.Namespace }}
labels:
  {{- include "eastway.labels" . | nindent 2 }}
{{- end }}

{{/* The names of the tunnel Services, one to a line. */}}
{{- define "eastway.tunnelServices" -}}
{{- if .Values.tunnel.service.enabled -}}
{{- if .Values.tunnel.service.split -}}
{{- if has "tcp" .Values.tunnel.transports }}
{{ include "eastway.name" . }}-tunnel-tcp
{{- end }}
{{- if has "quic" .Values.tunnel.transports }}
{{ include "eastway.name" . }}-tunnel-udp
{{- end }}
{{- else }}
{{ include "eastway.name" . }}-tunnel
{{- end -}}
{{- end -}}
{{- end }}

{{/* Ports on which proxies' pods listen for other than services. */}}
{{- define "eastway.ownPorts" -}}
15000,15020,15024,15443
{{- if .Values.nameServer.enabled }},5353,15053,15054{{ end -}}
{{- end }}

{{/* The listener ports, after a look at whether they are free. */}}
{{- define "eastway.listenerPorts" -}}
{{- $ports := splitList "-" .Values.listenerPorts -}}
{{- $first := first $ports | int -}}
{{- $last := last $ports | int -}}
{{- if or (gt $first $last) (gt $last 65535) -}}
{{- fail (printf "listenerPorts %s is not FIRST-LAST with both at most 65535" .Values.listenerPorts) -}}
{{- end -}}
{{- range splitList "," (include "eastway.ownPorts" .) -}}
{{- if and (le $first (int .)) (ge $last (int .)) -}}
{{- fail (printf "listenerPorts %s contains %s, which is a port of the proxies already" $.Values.listenerPorts .) -}}
{{- end -}}
{{- end -}}
{{ .Values.listenerPorts }}
{{- end }}

{{/* The sysctls of the proxies' pods: those of the values, and all ports but the listeners' for connections to endpoints. Who reserves
others has to choose the range too. */}}
{{- define "eastway.sysctls" -}}
{{- $sysctls := .Values.proxy.sysctls -}}
{{- $names := list -}}
{{- range $sysctls }}{{ $names = append $names .name }}{{ end -}}
{{- if and .Values.proxy.wideLocalPorts (not (has "net.ipv4.ip_local_reserved_ports" $names)) -}}
{{- if not (has "net.ipv4.ip_local_port_range" $names) -}}
{{- $sysctls = append $sysctls (dict "name" "net.ipv4.ip_local_port_range" "value" "1024 65535") -}}
{{- end -}}
{{- $reserved := printf "%s,%s" (include "eastway.ownPorts" .) (include "eastway.listenerPorts" .) -}}
{{- $sysctls = append $sysctls (dict "name" "net.ipv4.ip_local_reserved_ports" "value" $reserved) -}}
{{- end -}}
{{- if $sysctls }}{{ toYaml $sysctls }}{{ end -}}
{{- end }}
