{{/* Part of the spec of a pod that sends one request to the Service, see files/request.sh. */}}
{{- define "buntime.request" -}}
{{- $service := printf "%s.%s.svc" (include "buntime.fullname" .root) .root.Release.Namespace -}}
serviceAccountName: {{ include "buntime.serviceAccount" .root | toJson }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "buntime.podSecurity" (dict "root" .root) | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | toJson }}
  {{- end }}
{{- end }}
containers:
  - name: {{ .name }}
    image: {{ include "buntime.image" .root | toJson }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: [bash, -c, {{ .root.Files.Get "files/request.sh" | toJson }}]
    env:
      - {name: METHOD, value: {{ .method }}}
      - {name: SERVER, value: {{ $service | toJson }}}
      - {name: PORT, value: {{ .root.Values.service.port | int | quote }}}
      - {name: REQUEST_HOST, value: {{ default $service .host | toJson }}}
      - {name: REQUEST_PATH, value: {{ .path | toJson }}}
      - {name: TIMEOUT, value: {{ .seconds | quote }}}
      - {name: SUCCESS, value: {{ .success | toJson }}}
      {{- if .secret }}
      - {name: KEY_FILE, value: /etc/buntime/key}
      {{- end }}
    securityContext:
      {{- include "buntime.containerSecurity" .root | nindent 6 }}
    resources:
      {{- include "buntime.smallResources" .root | nindent 6 }}
    {{- if .secret }}
    volumeMounts:
      - name: key
        mountPath: /etc/buntime
        readOnly: true
    {{- end }}
{{- if .secret }}
volumes:
  - name: key
    secret:
      secretName: {{ .secret | toJson }}
      defaultMode: 0440
      items:
        - key: {{ .key | toJson }}
          path: key
{{- end }}
{{- end -}}
