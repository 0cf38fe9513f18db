{{/*
Where apps, state and plugins lie:

    data       state/ and plugins/ of the StatefulSet's claim, and apps/ where apps.source is pvc
    apps       a claim of the apps' own, a copy from their image, or that image
    tmp        what the root file system, which can only be read, has not

The volume `data` may be open to all users of the node (hostPath of k3s) or to a group (fsGroup), and
the runtime keeps no state where others can write. So an init container makes folders in it that are
the runtime's own, and these are mounted.
*/}}

{{/* Where apps lie: data, claim, copy, mount, image. */}}
{{- define "buntime.appsPlace" -}}
{{- if eq .Values.apps.source "image" -}}image
{{- else if eq .Values.apps.source "oci" -}}{{ .Values.apps.oci.mode }}
{{- else if and .Values.state.enabled (not .Values.apps.pvc.existingClaim) -}}data
{{- else -}}claim
{{- end -}}
{{- end -}}

{{- define "buntime.appsClaim" -}}
{{ default (printf "%s-apps" (include "buntime.fullname" .)) .Values.apps.pvc.existingClaim }}
{{- end -}}

{{- define "buntime.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmp.size | toJson }}
    {{- if .Values.tmp.inMemory }}
    medium: Memory
    {{- end }}
{{- if and .Values.state.enabled .Values.state.existingClaim }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .Values.state.existingClaim | toJson }}
{{- end }}
{{- $place := include "buntime.appsPlace" . }}
{{- if eq $place "claim" }}
- name: apps
  persistentVolumeClaim:
    claimName: {{ include "buntime.appsClaim" . | toJson }}
    {{- if .Values.apps.pvc.readOnly }}
    readOnly: true
    {{- end }}
{{- else if eq $place "copy" }}
- name: apps
  emptyDir:
    sizeLimit: {{ .Values.apps.oci.size | toJson }}
{{- else if eq $place "mount" }}
- name: apps
  image:
    reference: {{ .Values.apps.oci.image | toJson }}
    pullPolicy: {{ .Values.apps.oci.pullPolicy | toJson }}
{{- end }}
{{- if include "buntime.hasConfig" . }}
- name: config
  {{- if .Values.configFrom.secret }}
  secret:
    secretName: {{ .Values.configFrom.secret | toJson }}
  {{- else }}
  configMap:
    name: {{ default (include "buntime.fullname" .) .Values.configFrom.configMap | toJson }}
  {{- end }}
    defaultMode: 0440
    items:
      - key: {{ .Values.configFrom.key | toJson }}
        path: buntime.config.yaml
{{- end }}
{{- with include "buntime.masterKeySecret" . }}
- name: master-key
  secret:
    secretName: {{ . | toJson }}
    defaultMode: 0440
    items:
      - key: {{ include "buntime.masterKeyKey" $ | toJson }}
        path: key
{{- end }}
{{- with include "buntime.keysSecret" . }}
- name: keys
  secret:
    secretName: {{ . | toJson }}
    defaultMode: 0440
    items:
      - key: {{ ternary $.Values.keysFrom.key "keys.yaml" (ne $.Values.keysFrom.secret "") | toJson }}
        path: keys.yaml
{{- end }}
{{- if or .Values.secrets .Values.secretsFrom.secret }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- if .Values.secrets }}
      - secret:
          name: {{ printf "%s-secrets" (include "buntime.fullname" .) | toJson }}
      {{- end }}
      {{- with .Values.secretsFrom.secret }}
      - secret:
          name: {{ . | toJson }}
      {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "buntime.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.state.enabled }}
- name: data
  mountPath: /var/lib/buntime
  subPath: state
- name: data
  mountPath: /srv/plugins
  subPath: plugins
{{- end }}
{{- $place := include "buntime.appsPlace" . }}
{{- if eq $place "data" }}
- name: data
  mountPath: {{ .Values.apps.path | toJson }}
  subPath: apps
{{- else if eq $place "claim" }}
- name: apps
  mountPath: {{ .Values.apps.path | toJson }}
  {{- with .Values.apps.pvc.subPath }}
  subPath: {{ . | toJson }}
  {{- end }}
  {{- if .Values.apps.pvc.readOnly }}
  readOnly: true
  {{- end }}
{{- else if eq $place "copy" }}
- name: apps
  mountPath: {{ .Values.apps.path | toJson }}
  readOnly: true
{{- else if eq $place "mount" }}
- name: apps
  mountPath: {{ .Values.apps.path | toJson }}
  readOnly: true
  {{- with trimPrefix "/" .Values.apps.oci.path }}
  subPath: {{ . | toJson }}
  {{- end }}
{{- end }}
{{- if include "buntime.hasConfig" . }}
- name: config
  mountPath: /etc/buntime/config
  readOnly: true
{{- end }}
{{- if include "buntime.masterKeySecret" . }}
- name: master-key
  mountPath: /etc/buntime/master
  readOnly: true
{{- end }}
{{- if include "buntime.keysSecret" . }}
- name: keys
  mountPath: /etc/buntime/keys
  readOnly: true
{{- end }}
{{- if or .Values.secrets .Values.secretsFrom.secret }}
- name: secrets
  mountPath: /etc/buntime/secrets
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Init containers: folders on the volume, apps from their image, and those of the values. */}}
{{- define "buntime.initContainers" -}}
{{- if .Values.state.enabled }}
{{- $folders := ternary "state plugins apps" "state plugins" (eq (include "buntime.appsPlace" .) "data") }}
- name: folders
  image: {{ include "buntime.image" . | toJson }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [sh, -euc, "cd /data; for each in {{ $folders }}; do mkdir -p $each; chmod u+rwx,go-w $each; done"]
  securityContext:
    {{- include "buntime.containerSecurity" . | nindent 4 }}
  resources:
    {{- include "buntime.smallResources" . | nindent 4 }}
  volumeMounts:
    - name: data
      mountPath: /data
{{- end }}
{{- if eq (include "buntime.appsPlace" .) "copy" }}
- name: apps
  image: {{ .Values.apps.oci.image | toJson }}
  imagePullPolicy: {{ .Values.apps.oci.pullPolicy }}
  command: [cp, -R, {{ printf "%s/." (trimSuffix "/" .Values.apps.oci.path) | toJson }}, /copy]
  securityContext:
    {{- include "buntime.containerSecurity" . | nindent 4 }}
  resources:
    {{- include "buntime.smallResources" . | nindent 4 }}
  volumeMounts:
    - name: apps
      mountPath: /copy
{{- end }}
{{- with .Values.initContainers }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "buntime.smallResources" -}}
requests: {cpu: 10m, memory: 64Mi}
limits: {memory: 256Mi}
{{- end -}}
