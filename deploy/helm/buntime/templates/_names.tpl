{{/* Names, labels, the image, and times. */}}

{{- define "buntime.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels of selectors. They never change, because a StatefulSet or Deployment cannot change its selector. */}}
{{- define "buntime.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | toJson }}
app.kubernetes.io/instance: {{ .Release.Name | toJson }}
app.kubernetes.io/component: server
{{- end -}}

{{/* Labels of an object, as a mapping: dict "root" $ "component" "server" "more" (dict). Those of the chart win. */}}
{{- define "buntime.labels" -}}
{{- $own := include "buntime.selector" .root | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/component" (default "server" .component) -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- if not .isPod -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63) -}}
{{- $_ := set $own "app.kubernetes.io/version" (.root.Chart.AppVersion | replace "+" "_") -}}
{{- end -}}
{{- merge $own (default dict .more) .root.Values.labels | toYaml -}}
{{- end -}}

{{/* `metadata` of an object: dict "root" $ "name" "apps" "component" "server" "annotations" (dict) "labels" (dict). */}}
{{- define "buntime.metadata" -}}
name: {{ .name | toJson }}
namespace: {{ .root.Release.Namespace | toJson }}
labels:
  {{- include "buntime.labels" (dict "root" .root "component" .component "more" .labels) | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "buntime.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ printf "%s@%s" .repository .digest }}
{{- else -}}
{{ printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "buntime.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "buntime.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* "true" or "": whether the cluster chooses uid and group. */}}
{{- define "buntime.isOpenShift" -}}
{{- if or (eq .Values.platform "openshift") (and (eq .Values.platform "auto") (.Capabilities.APIVersions.Has "route.openshift.io/v1")) -}}
true
{{- end -}}
{{- end -}}

{{/* "true" or "": whether an autoscaler sets the number of pods. */}}
{{- define "buntime.isScaled" -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled -}}true{{- end -}}
{{- end -}}

{{/* "true" or "": whether there may be more than one pod. */}}
{{- define "buntime.hasSeveral" -}}
{{- $most := .Values.replicas | int -}}
{{- if .Values.autoscaling.enabled -}}{{- $most = .Values.autoscaling.max | int -}}{{- end -}}
{{- if .Values.keda.enabled -}}{{- $most = .Values.keda.max | int -}}{{- end -}}
{{- if gt $most 1 -}}true{{- end -}}
{{- end -}}

{{/* A value as the text of a variable; whole numbers without an exponent. */}}
{{- define "buntime.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{ printf "%.0f" . }}{{- else -}}{{ mustRegexReplaceAll "0+$" (printf "%.9f" .) "" }}{{- end -}}
{{- else -}}
{{ toString . }}
{{- end -}}
{{- end -}}

{{/* Seconds of a duration, rounded up: "500ms" is 1, "5m" is 300, 30 is 30. */}}
{{- define "buntime.seconds" -}}
{{- $text := include "buntime.text" . | lower | trim -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- $amount := $text | trimSuffix $unit | trim | float64 -}}
{{- $scales := dict "" 1.0 "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 "w" 604800.0 -}}
{{- mulf $amount (index $scales $unit) | ceil | int64 -}}
{{- end -}}

{{/* How long the runtime may take to end: requests, then workers, each shutdownTimeout, and 10 seconds. */}}
{{- define "buntime.drainSeconds" -}}
{{- $said := .Values.settings.shutdownTimeout -}}
{{- $isSaid := not (or (kindIs "invalid" $said) (eq (toString $said) "")) -}}
{{- $timeout := include "buntime.seconds" (ternary $said "30s" $isSaid) | int64 -}}
{{- add (mul 2 $timeout) 10 -}}
{{- end -}}

{{- define "buntime.graceSeconds" -}}
{{- if .Values.drain.graceSeconds -}}
{{ .Values.drain.graceSeconds | int64 }}
{{- else -}}
{{ add (.Values.drain.preStopSeconds | int64) (include "buntime.drainSeconds" . | int64) }}
{{- end -}}
{{- end -}}

{{/* A path of the runtime's API: dict "root" $ "path" "/api/health/ready". */}}
{{- define "buntime.apiPath" -}}
{{ printf "%s%s" (trimSuffix "/" .root.Values.settings.apiPrefix) .path }}
{{- end -}}

{{/* What every container may do. */}}
{{- define "buntime.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- end -}}

{{/* What every pod may do: the standard `restricted`. dict "root" $ "hasVolumes" true */}}
{{- define "buntime.podSecurity" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- if not (include "buntime.isOpenShift" .root) }}
runAsUser: {{ .root.Values.user.uid | int64 }}
runAsGroup: {{ .root.Values.user.gid | int64 }}
fsGroup: {{ .root.Values.user.gid | int64 }}
{{- end }}
{{- if .hasVolumes }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end -}}
