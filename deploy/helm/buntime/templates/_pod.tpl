{{/* The pod of the runtime, of either kind of workload. */}}

{{- define "buntime.pod" -}}
metadata:
  labels:
    {{- include "buntime.labels" (dict "root" . "isPod" true "more" .Values.podLabels) | nindent 4 }}
  annotations:
    # Other content is another pod: the runtime reads files at its start.
    checksum/config: {{ include "buntime.config" . | sha256sum }}
    checksum/secrets: {{ printf "%s%s%s" .Values.masterKey.value (toJson .Values.keys) (toJson .Values.secrets) | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "buntime.serviceAccount" . | toJson }}
  automountServiceAccountToken: false
  # Variables of other Services would be taken for settings: a Service "runtime" has RUNTIME_PORT.
  enableServiceLinks: false
  securityContext:
    {{- include "buntime.podSecurity" (dict "root" . "hasVolumes" true) | nindent 4 }}
  terminationGracePeriodSeconds: {{ include "buntime.graceSeconds" . }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | toJson }}
    {{- end }}
  {{- end }}
  {{- with include "buntime.initContainers" . | trim }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: buntime
      image: {{ include "buntime.image" . | toJson }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [{{ .Values.apps.path | toJson }}]
      # No .env and no plugins are looked for where apps could write.
      workingDir: /
      ports:
        - name: http
          containerPort: {{ .Values.settings.port | int }}
          protocol: TCP
      env:
        {{- include "buntime.environment" . | trim | nindent 8 }}
      startupProbe:
        httpGet: {path: {{ include "buntime.apiPath" (dict "root" . "path" "/api/health/live") }}, port: http}
        periodSeconds: 1
        timeoutSeconds: {{ .Values.probes.timeoutSeconds | int }}
        failureThreshold: {{ .Values.probes.startupSeconds | int }}
      livenessProbe:
        httpGet: {path: {{ include "buntime.apiPath" (dict "root" . "path" "/api/health/live") }}, port: http}
        periodSeconds: {{ .Values.probes.periodSeconds | int }}
        timeoutSeconds: {{ .Values.probes.timeoutSeconds | int }}
        failureThreshold: {{ .Values.probes.liveFailures | int }}
      readinessProbe:
        httpGet: {path: {{ include "buntime.apiPath" (dict "root" . "path" "/api/health/ready") }}, port: http}
        periodSeconds: {{ .Values.probes.periodSeconds | int }}
        timeoutSeconds: {{ .Values.probes.timeoutSeconds | int }}
        failureThreshold: {{ .Values.probes.readyFailures | int }}
      {{- if gt (.Values.drain.preStopSeconds | int) 0 }}
      lifecycle:
        preStop:
          {{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
          sleep: {seconds: {{ .Values.drain.preStopSeconds | int }}}
          {{- else }}
          exec: {command: [sleep, {{ .Values.drain.preStopSeconds | int | quote }}]}
          {{- end }}
      {{- end }}
      terminationMessagePolicy: FallbackToLogsOnError
      securityContext:
        {{- include "buntime.containerSecurity" . | nindent 8 }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- include "buntime.volumeMounts" . | nindent 8 }}
    {{- with .Values.sidecars }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "buntime.volumes" . | nindent 4 }}
  {{- if .Values.topologySpread.constraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpread.constraints | nindent 4 }}
  {{- else if and .Values.topologySpread.enabled (include "buntime.hasSeveral" .) }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "buntime.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | toJson }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . | toJson }}
  {{- end }}
{{- end -}}
