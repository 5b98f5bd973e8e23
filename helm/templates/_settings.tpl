{{/* What the values mean for the process: its settings, its arguments, and what cannot work together. */}}

{{- define "gateway.folder" -}}/etc/workspaces-gateway{{- end }}

{{/* One of extraArgs as a flag; GitLab's chart has them without dashes. */}}
{{- define "gateway.argument" -}}
{{- $flag := printf "--%s" (regexReplaceAll "^-+" . "") -}}
{{- $name := regexFind "^[^=]+" $flag | replace "_" "-" -}}
{{- if has $name (list "--auth-client-secret" "--auth-signing-key" "--auth-previous-signing-keys" "--auth-service-token" "--ssh-host-key" "--sessions-password") -}}
{{- fail (printf "extraArgs: %s is a secret, and everybody who may see a pod can read its arguments; put it into the Secret named by configSecretName" $name) -}}
{{- end -}}
{{- $flag -}}
{{- end }}

{{/* "true" unless the HTTP door is off, by settings or by an argument. */}}
{{- define "gateway.hasHttp" -}}
{{- $http := default dict .Values.settings.http -}}
{{- $isOff := and (hasKey $http "enabled") (eq (toString $http.enabled) "false") -}}
{{- range .Values.extraArgs -}}
{{- if regexMatch "^-*http-enabled=(0|f|F|false|False|FALSE)$" . -}}{{- $isOff = true -}}{{- end -}}
{{- end -}}
{{- if not $isOff -}}true{{- end -}}
{{- end }}

{{/* The file of settings, as the operator wrote it with the values of this chart over it. */}}
{{- define "gateway.settings" -}}
{{- $chart := dict
  "http" (dict "port" .Values.port "drain_grace" .Values.drain.graceSeconds)
  "ssh" (dict "port" .Values.sshPort "drain_grace" .Values.drain.graceSeconds "public_port" .Values.sshService.port)
  "drain" (dict "delay" .Values.drain.delaySeconds "spread" .Values.drain.spreadSeconds)
  "admin" (dict "port" .Values.adminPort) -}}
{{- if .Values.sshService.host -}}{{- $_ := set $chart.ssh "public_host" .Values.sshService.host -}}{{- end -}}
{{- if .Values.sshService.proxyProtocol -}}{{- $_ := set $chart.ssh "proxy_protocol" .Values.sshService.proxyProtocol -}}{{- end -}}
{{- if .Values.trustedProxies -}}{{- $_ := set $chart.http "trusted_proxies" .Values.trustedProxies -}}{{- end -}}
{{- if .Values.watchNamespaces -}}{{- $_ := set $chart "watch_namespaces" .Values.watchNamespaces -}}{{- end -}}
{{- if .Values.redis.url -}}{{- $_ := set $chart "sessions" (dict "store" .Values.redis.url) -}}{{- end -}}
{{- if or .Values.extraCA.configMapName .Values.extraCA.secretName -}}
{{- $_ := set $chart "auth" (dict "ca_file" (printf "%s/ca/%s" (include "gateway.folder" .) .Values.extraCA.key)) -}}
{{- end -}}
{{- if .Values.sshHostKeys.secretName -}}
{{- $files := list -}}
{{- range .Values.sshHostKeys.keys -}}{{- $files = append $files (printf "%s/host-keys/%s" (include "gateway.folder" $) .) -}}{{- end -}}
{{- $_ := set $chart.ssh "host_key_files" $files -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.settings) $chart) -}}
{{- end }}

{{/* Refuses what would start and then not work. */}}
{{- define "gateway.refuse" -}}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) -}}
{{- $sessions := default dict .Values.settings.sessions -}}
{{- if and $several (include "gateway.hasHttp" .) (not .Values.redis.url) (not $sessions.store) -}}
{{- fail "several replicas share their sessions in a Redis: set redis.url, or keep replicaCount 1 and autoscaling.enabled false" -}}
{{- end -}}
{{- if and .Values.extraCA.configMapName .Values.extraCA.secretName -}}
{{- fail "extraCA: name a ConfigMap or a Secret, not both" -}}
{{- end -}}
{{- if and .Values.sshHostKeys.secretName (not .Values.sshHostKeys.keys) -}}
{{- fail "sshHostKeys.keys: name the keys of the Secret that are host keys, such as [ssh_host_ed25519_key]" -}}
{{- end -}}
{{- if and .Values.gatewayApi.http.enabled (not .Values.gatewayApi.http.parentRefs) -}}
{{- fail "gatewayApi.http.parentRefs: name the Gateway, such as [{name: public, namespace: gateways}]" -}}
{{- end -}}
{{- if and .Values.gatewayApi.ssh.enabled (not .Values.gatewayApi.ssh.parentRefs) -}}
{{- fail "gatewayApi.ssh.parentRefs: name the Gateway and its listener, such as [{name: public, namespace: gateways, sectionName: ssh}]" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: name the portal and the wildcard of the workspaces, such as workspaces.example.dev and *.workspaces.example.dev" -}}
{{- end -}}
{{- end }}
