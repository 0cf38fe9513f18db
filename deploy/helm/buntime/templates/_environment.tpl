{{/* The variables of the runtime: settings, and those that the chart sets. */}}

{{- define "buntime.environment" -}}
{{- $names := .Files.Get "files/names.yaml" | fromYaml -}}
{{- range $name, $variable := $names.settings }}
{{- $value := index $.Values.settings $name }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- name: {{ $variable }}
  value: {{ include "buntime.text" $value | toJson }}
{{- end }}
{{- end }}
{{- range $name, $variable := $names.secretSettings }}
{{- with index $.Values.secretSettings $name }}
{{- if .secret }}
- name: {{ $variable }}
  valueFrom: {secretKeyRef: {name: {{ .secret | toJson }}, key: {{ .key | toJson }}}}
{{- end }}
{{- end }}
{{- end }}
{{- range $names.passwords }}
{{- $option := index $.Values.plugins .plugin "options" .option }}
{{- if $option.secret }}
- name: {{ .variable }}
  valueFrom: {secretKeyRef: {name: {{ $option.secret | toJson }}, key: {{ $option.key | toJson }}}}
{{- end }}
{{- end }}
- name: RUNTIME_PLUGIN_DIRS
  value: /srv/plugins
{{- if .Values.state.enabled }}
- name: RUNTIME_STATE_DIR
  value: /var/lib/buntime
{{- else }}
- name: RUNTIME_STATE
  value: none
{{- end }}
{{- if include "buntime.masterKeySecret" . }}
- name: RUNTIME_MASTER_KEY_FILE
  value: /etc/buntime/master/key
{{- end }}
{{- if include "buntime.keysSecret" . }}
- name: RUNTIME_KEYS_FILE
  value: /etc/buntime/keys/keys.yaml
{{- end }}
{{- if or .Values.secrets .Values.secretsFrom.secret }}
- name: RUNTIME_SECRETS_DIR
  value: /etc/buntime/secrets
{{- end }}
{{- if include "buntime.hasConfig" . }}
- name: RUNTIME_CONFIG
  value: /etc/buntime/config/buntime.config.yaml
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The Secret with the master key, or "". */}}
{{- define "buntime.masterKeySecret" -}}
{{- if .Values.masterKey.secret -}}
{{ .Values.masterKey.secret }}
{{- else if .Values.masterKey.value -}}
{{ include "buntime.fullname" . }}
{{- end -}}
{{- end -}}

{{- define "buntime.masterKeyKey" -}}
{{ ternary .Values.masterKey.key "master-key" (ne .Values.masterKey.secret "") }}
{{- end -}}

{{/* The Secret with the keys of operators, or "". */}}
{{- define "buntime.keysSecret" -}}
{{- if .Values.keysFrom.secret -}}
{{ .Values.keysFrom.secret }}
{{- else if .Values.keys -}}
{{ include "buntime.fullname" . }}
{{- end -}}
{{- end -}}

{{/* The content of the config file as YAML: `config` and the values of plugins; "" if both are empty. */}}
{{- define "buntime.config" -}}
{{- $names := .Files.Get "files/names.yaml" | fromYaml -}}
{{- $secret := dict -}}
{{- range $names.passwords -}}{{- $_ := set $secret (printf "%s.%s" .plugin .option) true -}}{{- end -}}
{{- $plugins := dict -}}
{{- range $plugin, $said := .Values.plugins -}}
{{- $options := dict -}}
{{- range $option, $value := $said.options -}}
{{- $isGiven := not (or (kindIs "invalid" $value) (eq (toString $value) "")) -}}
{{- if and $isGiven (not (hasKey $secret (printf "%s.%s" $plugin $option))) -}}
{{- $_ := set $options $option $value -}}
{{- end -}}
{{- end -}}
{{- $entry := dict -}}
{{- if kindIs "bool" $said.enabled -}}{{- $_ := set $entry "enabled" $said.enabled -}}{{- end -}}
{{- if $options -}}{{- $_ := set $entry "options" $options -}}{{- end -}}
{{- if $entry -}}{{- $_ := set $plugins $plugin $entry -}}{{- end -}}
{{- end -}}
{{- $config := deepCopy .Values.config -}}
{{- if $plugins -}}{{- $config = mergeOverwrite $config (dict "plugins" $plugins) -}}{{- end -}}
{{- if $config -}}{{ toYaml $config }}{{- end -}}
{{- end -}}

{{/* "true" or "": whether there is a config file. */}}
{{- define "buntime.hasConfig" -}}
{{- if or .Values.configFrom.configMap .Values.configFrom.secret (include "buntime.config" .) -}}true{{- end -}}
{{- end -}}
