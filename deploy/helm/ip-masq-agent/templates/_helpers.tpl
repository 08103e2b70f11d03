{{/* The first part of a name: (list NAME LENGTH). */}}
{{- define "ip-masq-agent.shortened" -}}
{{- regexReplaceAll "[-.]+$" (index . 0 | trunc (index . 1)) "" -}}
{{- end }}

{{- define "ip-masq-agent.name" -}}
{{- include "ip-masq-agent.shortened" (list (.Values.nameOverride | default .Chart.Name) 63) -}}
{{- end }}

{{/* The name of the DaemonSet, by the rule that most charts follow; other names begin with it. */}}
{{- define "ip-masq-agent.fullname" -}}
{{- $name := include "ip-masq-agent.name" . -}}
{{- $usual := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- include "ip-masq-agent.shortened" (list (.Values.fullnameOverride | default $usual) 63) -}}
{{- end }}

{{- define "ip-masq-agent.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{/* A ConfigMap that somebody else makes has the name that all documents use; one of ours must not be another release's. */}}
{{- define "ip-masq-agent.configBase" -}}
{{- $own := not (kindIs "invalid" .Values.config.inline) -}}
{{- .Values.config.name | default ($own | ternary (include "ip-masq-agent.fullname" .) "ip-masq-agent") -}}
{{- end }}

{{/* Staged, each text has a ConfigMap of its own. */}}
{{- define "ip-masq-agent.configName" -}}
{{- $base := include "ip-masq-agent.configBase" . -}}
{{- with .Values.config -}}
{{- if ne .rollout "staged" -}}
{{- $base -}}
{{- else if kindIs "invalid" .inline -}}
{{- fail "config.rollout: staged needs config.inline. A ConfigMap that you make yourself is staged by a new config.name for each text" -}}
{{- else if .watch -}}
{{- fail "config.watch follows edits in place, and with config.rollout: staged there are none: set only one of them" -}}
{{- else -}}
{{- printf "%s-%s" (trunc 242 $base) (include "ip-masq-agent.configText" $ | sha256sum | trunc 10) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ip-masq-agent.configText" -}}
{{- toYaml .Values.config.inline -}}
{{- end }}

{{/* By these a release finds its pods. k8s-app is what alerts, dashboard and `kubectl ip-masq` select by. */}}
{{- define "ip-masq-agent.selector" -}}
k8s-app: ip-masq-agent
app.kubernetes.io/name: {{ include "ip-masq-agent.name" . | toJson }}
app.kubernetes.io/instance: {{ .Release.Name | toJson }}
{{- end }}

{{- define "ip-masq-agent.labels" -}}
{{- $chart := printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" -}}
{{- $about := dict "app.kubernetes.io/version" .Chart.AppVersion "app.kubernetes.io/component" "node-agent" -}}
{{- $helm := dict "app.kubernetes.io/managed-by" .Release.Service "helm.sh/chart" $chart -}}
{{- mergeOverwrite $about $helm (.Values.commonLabels | default dict) (include "ip-masq-agent.selector" . | fromYaml) | toYaml -}}
{{- end }}

{{/* A label with a version would restart all agents whenever the chart alone changes. */}}
{{- define "ip-masq-agent.podLabels" -}}
{{- $selector := include "ip-masq-agent.selector" . | fromYaml -}}
{{- mergeOverwrite (dict) (.Values.commonLabels | default dict) (.Values.podLabels | default dict) $selector | toYaml -}}
{{- end }}

{{/* name, namespace and labels of an object for monitoring: of "root" and its values "of", with a suffix. */}}
{{- define "ip-masq-agent.monitoringMetadata" -}}
name: {{ printf "%s%s" (include "ip-masq-agent.fullname" .root) (.suffix | default "") | toJson }}
namespace: {{ .of.namespace | default (include "ip-masq-agent.namespace" .root) | toJson }}
labels:
  {{- mergeOverwrite (include "ip-masq-agent.labels" .root | fromYaml) (.of.labels | default dict) | toYaml | nindent 2 }}
{{- end }}

{{/* image, imagePullPolicy and resources of a container. */}}
{{- define "ip-masq-agent.image" -}}
{{- $image := .Values.image -}}
{{- $missing := "image.repository is empty, and no image is published: set image.repository to yours, as in registry.example.com/network/ip-masq-agent (README of the chart)" -}}
{{- $repository := required $missing $image.repository -}}
{{- with .Values.global.imageRegistry -}}
{{- $first := $repository | splitList "/" | first -}}
{{- if and (contains "/" $repository) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- $repository = trimPrefix (printf "%s/" $first) $repository -}}
{{- end -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- $version := printf ":%s" ($image.tag | default (printf "v%s" .Chart.AppVersion)) -}}
{{- with $image.digest }}{{ $version = printf "@%s" . }}{{ end -}}
image: {{ printf "%s%s" $repository $version | toJson }}
{{- with $image.pullPolicy }}
imagePullPolicy: {{ . | toJson }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What the agent's pod, the Job and the test have in common. */}}
{{- define "ip-masq-agent.placement" -}}
{{- $secrets := .Values.imagePullSecrets | default list -}}
{{- range .Values.global.imagePullSecrets }}{{ $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}{{ end -}}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with uniq $secrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The nodes that have an agent. */}}
{{- define "ip-masq-agent.nodes" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "ip-masq-agent.podSecurityContext" -}}
{{- $profile := dict "type" "RuntimeDefault" -}}
{{- with .Values.seccompProfile }}{{ $profile = dict "type" "Localhost" "localhostProfile" . }}{{ end -}}
{{- mergeOverwrite (dict "seccompProfile" $profile) (.Values.podSecurityContext | default dict) | toJson -}}
{{- end }}

{{/* "true" if the agent may have to do with iptables-legacy, which needs a raw socket and a lock. */}}
{{- define "ip-masq-agent.legacy" -}}
{{- if or (ne .Values.backend "nftables") .Values.removeLegacyRules -}}true{{- end -}}
{{- end }}

{{- define "ip-masq-agent.securityContext" -}}
{{- $values := .Values.securityContext | default dict -}}
{{- $privileged := $values.privileged | default false -}}
{{- $add := include "ip-masq-agent.legacy" . | empty | ternary (list "NET_ADMIN") (list "NET_ADMIN" "NET_RAW") -}}
{{- $own := dict "privileged" false "allowPrivilegeEscalation" $privileged "readOnlyRootFilesystem" true -}}
{{- mergeOverwrite $own (dict "capabilities" (dict "drop" (list "ALL") "add" $add)) $values | toYaml -}}
{{- end }}

{{- define "ip-masq-agent.volumeMounts" -}}
- name: config
  mountPath: /etc/config
  readOnly: true
{{- if include "ip-masq-agent.legacy" . }}
- name: xtables-lock
  mountPath: /run/xtables.lock
{{- end }}
{{- end }}

{{- define "ip-masq-agent.volumes" -}}
- name: config
  configMap:
    name: {{ include "ip-masq-agent.configName" . | toJson }}
    optional: {{ ne .Values.config.rollout "staged" }}
    items:
      - key: {{ .Values.config.key | toJson }}
        path: ip-masq-agent
{{- if include "ip-masq-agent.legacy" . }}
- name: xtables-lock
  hostPath:
    path: /run/xtables.lock
    type: FileOrCreate
{{- end }}
{{- end }}

{{/* "true" if the agent speaks to the API server. */}}
{{- define "ip-masq-agent.usesApi" -}}
{{- if or .Values.config.watch (ne .Values.report "none") -}}true{{- end -}}
{{- end }}

{{/* "true" if the chart makes a ServiceAccount. */}}
{{- define "ip-masq-agent.makesServiceAccount" -}}
{{- if kindIs "invalid" .Values.serviceAccount.create -}}
{{- include "ip-masq-agent.usesApi" . -}}
{{- else if .Values.serviceAccount.create -}}true{{- end -}}
{{- end }}

{{/* Empty: the namespace's default one. */}}
{{- define "ip-masq-agent.serviceAccountName" -}}
{{- $name := .Values.serviceAccount.name | default "" -}}
{{- if include "ip-masq-agent.makesServiceAccount" . -}}
{{- $name | default (include "ip-masq-agent.fullname" .) -}}
{{- else if and (not $name) (include "ip-masq-agent.usesApi" .) -}}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: config.watch and report need a ServiceAccount. Set one of the two" -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end }}

{{- define "ip-masq-agent.automount" -}}
{{- $automount := .Values.serviceAccount.automount -}}
{{- if kindIs "invalid" $automount }}{{ $automount = eq (include "ip-masq-agent.usesApi" .) "true" }}{{ end -}}
{{- $automount -}}
{{- end }}

{{/* The host of httpAddress, without brackets. */}}
{{- define "ip-masq-agent.httpHost" -}}
{{- regexReplaceAll ":[0-9]+$" .Values.httpAddress "" | trimPrefix "[" | trimSuffix "]" -}}
{{- end }}

{{- define "ip-masq-agent.httpPort" -}}
{{- $pattern := `^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]+\]|\$\(HOST_IP\)|\[\$\(HOST_IP\)\])?:[1-9][0-9]{0,4}$` -}}
{{- $port := regexFind "[0-9]+$" .Values.httpAddress -}}
{{- if or (not (regexMatch $pattern .Values.httpAddress)) (gt (int $port) 65535) -}}
{{- fail (printf "httpAddress: %q is not an IP address with a port, as in 127.0.0.1:10279, [::1]:10279 or $(HOST_IP):10279" .Values.httpAddress) -}}
{{- end -}}
{{- $port -}}
{{- end }}

{{/* "true" if only the node's own processes reach what is served, or if nothing is served. */}}
{{- define "ip-masq-agent.unreachable" -}}
{{- $host := include "ip-masq-agent.httpHost" . -}}
{{- if or (not .Values.httpAddress) (hasPrefix "127." $host) (eq $host "::1") -}}true{{- end -}}
{{- end }}

{{/*
A probe, if its values are not null: a handler of theirs, or a request of ours. Without a host the kubelet uses the pod's address, which is
the node's; with the loopback's the field cannot be left out.
*/}}
{{- define "ip-masq-agent.probe" -}}
{{- $host := include "ip-masq-agent.httpHost" .root -}}
{{- if kindIs "map" .values -}}
{{- $probe := .values -}}
{{- if not (or $probe.exec $probe.httpGet $probe.tcpSocket $probe.grpc) -}}
{{- $get := dict "port" (include "ip-masq-agent.httpPort" .root | int) "path" .path -}}
{{- if not (has $host (list "" "0.0.0.0" "::" "$(HOST_IP)")) }}{{ $_ := set $get "host" $host }}{{ end -}}
{{- $probe = merge (dict "httpGet" $get) $probe -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}
{{- end }}

{{/* Numbers are floats here: print 1000000, not 1e+06. */}}
{{- define "ip-masq-agent.flag" -}}
{{- $value := .value -}}
{{- if kindIs "float64" $value -}}{{- $value = int64 $value -}}{{- end -}}
- {{ printf "--%s=%v" .name $value | toJson }}
{{- end }}

{{/* The oldest that the chart is tested with, and the first that takes charts from registries. */}}
{{- define "ip-masq-agent.checkHelm" -}}
{{- $version := .Capabilities.HelmVersion.Version -}}
{{- if not (semverCompare ">=3.8.0-0" $version) -}}
{{- fail (printf "this chart needs Helm 3.8 or newer, and this is %s" $version) -}}
{{- end -}}
{{- end }}

{{/* Flags whose value changes more than the argument. */}}
{{- define "ip-masq-agent.checkExtraArgs" -}}
{{- $values := dict "backend" "backend" "enable-ipv6" "enableIPv6" "http-address" "httpAddress" "config-map" "config.watch" "report" "report" -}}
{{- range .Values.extraArgs -}}
{{- with get $values (regexReplaceAll "^--?([^=]*).*$" . "$1") -}}
{{- fail (printf "extraArgs: what this flag sets is the value %s, since it changes more than an argument" .) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* As iptables would refuse them only on the nodes. Host bits and the rest is up to `ip-masq-agent validate`. */}}
{{- define "ip-masq-agent.checkCidrs" -}}
{{- range $key := list "nonMasqueradeCIDRs" "masqueradeCIDRs" "masqueradeSourceCIDRs" "nonMasqueradeSourceCIDRs" -}}
{{- range get ($.Values.config.inline | default dict) $key | default list -}}
{{- if not (regexMatch "^[0-9a-fA-F:.]+/[0-9]{1,3}$" .) -}}
{{- fail (printf "config.inline.%s: %q is not a CIDR such as 10.0.0.0/8" $key .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
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
- {{ printf "--config-map=%s:%s" (include "ip-masq-agent.configName" .) .Values.config.key | toJson }}
- --state-dir=/run/ip-masq-agent
{{- end }}
{{- if ne .Values.report "none" }}
- {{ printf "--report=%s" .Values.report | toJson }}
{{- end }}
{{- range $name, $value := .Values.flags }}
{{ include "ip-masq-agent.flag" (dict "name" $name "value" $value) }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Those of these arguments that a command takes, too, which has the flags "names". */}}
{{- define "ip-masq-agent.argsOf" -}}
{{- range include "ip-masq-agent.args" .root | fromYamlArray }}
{{- if has (regexReplaceAll "^--?([^=]*).*$" . "$1") $.names }}
- {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "ip-masq-agent.env" -}}
{{- $fields := dict }}
{{- if contains "$(HOST_IP)" .Values.httpAddress }}
{{- $fields = dict "HOST_IP" "status.hostIP" }}
{{- end }}
{{- if ne .Values.report "none" }}
{{- $fields = merge $fields (dict "NODE_NAME" "spec.nodeName" "POD_NAME" "metadata.name" "POD_UID" "metadata.uid") }}
{{- end }}
{{- range $name, $path := $fields }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      fieldPath: {{ $path }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
