{{/* k8s-app is what ip-masq-agent.yaml selects by; the rest is what Kubernetes and Helm recommend. */}}
{{- define "ip-masq-agent.labels" -}}
k8s-app: ip-masq-agent
app.kubernetes.io/name: ip-masq-agent
app.kubernetes.io/instance: {{ .Release.Name | toJson }}
app.kubernetes.io/version: {{ .Chart.AppVersion | toJson }}
app.kubernetes.io/component: node-agent
app.kubernetes.io/managed-by: {{ .Release.Service | toJson }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | toJson }}
{{- end }}

{{- define "ip-masq-agent.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ printf "%s@%s" .repository .digest | toJson }}
{{- else -}}
{{ printf "%s:%s" .repository (.tag | default (printf "v%s" $.Chart.AppVersion)) | toJson }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ip-masq-agent.configText" -}}
{{- toYaml .Values.config.inline -}}
{{- end }}

{{/* Staged, each text has a ConfigMap of its own. */}}
{{- define "ip-masq-agent.configName" -}}
{{- with .Values.config -}}
{{- if ne .rollout "staged" -}}
{{- .name -}}
{{- else if kindIs "invalid" .inline -}}
{{- fail "config.rollout: staged needs config.inline. A ConfigMap that you make yourself is staged by a new config.name for each text" -}}
{{- else if .watch -}}
{{- fail "config.watch follows edits in place, and with config.rollout: staged there are none: set only one of them" -}}
{{- else -}}
{{- printf "%s-%s" (trunc 242 .name) (include "ip-masq-agent.configText" $ | sha256sum | trunc 10) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The host of httpAddress, without brackets. */}}
{{- define "ip-masq-agent.httpHost" -}}
{{- regexReplaceAll ":[0-9]+$" .Values.httpAddress "" | trimPrefix "[" | trimSuffix "]" -}}
{{- end }}

{{- define "ip-masq-agent.httpPort" -}}
{{- regexFind "[0-9]+$" .Values.httpAddress -}}
{{- end }}

{{/* "true" if only the node's own processes reach what is served, or if nothing is served. */}}
{{- define "ip-masq-agent.unreachable" -}}
{{- $host := include "ip-masq-agent.httpHost" . -}}
{{- if or (not .Values.httpAddress) (hasPrefix "127." $host) (eq $host "::1") -}}true{{- end -}}
{{- end }}

{{/* The request of a probe. Without a host the kubelet uses the pod's address, which is the node's. */}}
{{- define "ip-masq-agent.httpGet" -}}
{{- $host := include "ip-masq-agent.httpHost" .root -}}
httpGet:
  {{- if not (has $host (list "" "0.0.0.0" "::" "$(HOST_IP)")) }}
  host: {{ $host | toJson }}
  {{- end }}
  port: {{ include "ip-masq-agent.httpPort" .root }}
  path: {{ .path }}
{{- end }}

{{/* Numbers are floats here: print 1000000, not 1e+06. */}}
{{- define "ip-masq-agent.flag" -}}
{{- $value := .value -}}
{{- if kindIs "float64" $value -}}{{- $value = int64 $value -}}{{- end -}}
- {{ printf "--%s=%v" .name $value | toJson }}
{{- end }}

{{- define "ip-masq-agent.args" -}}
{{- if ne .Values.backend "iptables" }}
- {{ printf "--backend=%s" .Values.backend | toJson }}
{{- end }}
{{- if .Values.enableIPv6 }}
- --enable-ipv6
{{- end }}
{{- if ne .Values.httpAddress "127.0.0.1:10279" }}
- {{ printf "--http-address=%s" .Values.httpAddress | toJson }}
{{- end }}
{{- if .Values.config.watch }}
- {{ printf "--config-map=%s:%s" .Values.config.name .Values.config.key | toJson }}
- --state-dir=/run/ip-masq-agent
{{- end }}
{{- range $name, $value := .Values.flags }}
{{ include "ip-masq-agent.flag" (dict "name" $name "value" $value) }}
{{- end }}
{{- end }}
