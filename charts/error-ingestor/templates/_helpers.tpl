{{- define "error-ingestor.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for what is put behind it: pods of a Job and of a StatefulSet have at most 63 characters. */}}
{{- define "error-ingestor.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "error-ingestor.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "error-ingestor.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Takes (dict "root" . "component" "server"). */}}
{{- define "error-ingestor.selectorLabels" -}}
app.kubernetes.io/name: {{ include "error-ingestor.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "error-ingestor.labels" -}}
{{ include "error-ingestor.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The chart's own version is left out: a new chart that changes nothing restarts nothing. */}}
{{- define "error-ingestor.podLabels" -}}
{{ include "error-ingestor.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Takes a list of maps; prints `annotations:` when any holds something. */}}
{{- define "error-ingestor.annotations" -}}
{{- $all := dict }}
{{- range . }}{{- $all = merge $all (. | default dict) }}{{- end }}
{{- if $all }}
annotations:
  {{- toYaml $all | nindent 2 }}
{{- end }}
{{- end }}

{{- define "error-ingestor.embedded" -}}
{{- if eq .Values.clickhouse.mode "embedded" }}yes{{ end }}
{{- end }}

{{- define "error-ingestor.image" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.image.registry }}
{{- $name := .Values.image.repository }}
{{- if $registry }}{{- $name = printf "%s/%s" (trimSuffix "/" $registry) $name }}{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- $suffix := ternary "-standalone" "" (eq .Values.clickhouse.mode "embedded") }}
{{- printf "%s:%s" $name (.Values.image.tag | default (printf "%s%s" .Chart.AppVersion $suffix)) }}
{{- end }}
{{- end }}

{{- define "error-ingestor.pullSecrets" -}}
{{- $names := concat .Values.global.imagePullSecrets .Values.image.pullSecrets | uniq }}
{{- if $names }}
imagePullSecrets:
  {{- range $names }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What every pod of the release shares; it is followed by `containers:`. */}}
{{- define "error-ingestor.pod" -}}
{{- include "error-ingestor.pullSecrets" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "error-ingestor.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "error-ingestor.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/* Name of the Secret that holds the apps and their keys. */}}
{{- define "error-ingestor.appsSecretName" -}}
{{- if .Values.appsExistingSecret.name }}
{{- tpl .Values.appsExistingSecret.name . }}
{{- else if .Values.apps }}
{{- include "error-ingestor.fullname" . }}-apps
{{- else }}
{{- include "error-ingestor.fullname" . }}-trial
{{- end }}
{{- end }}

{{- define "error-ingestor.appsSecretKey" -}}
{{- ternary .Values.appsExistingSecret.key "apps.json" (ne .Values.appsExistingSecret.name "") }}
{{- end }}

{{/* CLICKHOUSE_PASSWORD out of the Secret of `login`; takes (dict "root" . "login" login "made" "name of the chart's Secret"). */}}
{{- define "error-ingestor.passwordEnv" -}}
{{- if or .login.existingSecret.name .login.password }}
- name: CLICKHOUSE_PASSWORD
  valueFrom:
    secretKeyRef:
      {{- if .login.existingSecret.name }}
      name: {{ tpl .login.existingSecret.name .root }}
      key: {{ .login.existingSecret.key }}
      {{- else }}
      name: {{ .made }}
      key: password
      {{- end }}
{{- end }}
{{- end }}

{{/* The login of the schema Job, as YAML: its own, or the server's. */}}
{{- define "error-ingestor.migrator" -}}
{{- $external := .Values.clickhouse.external }}
{{- ternary $external.migrator (pick $external "user" "password" "existingSecret") (ne $external.migrator.user "") | toYaml }}
{{- end }}

{{- define "error-ingestor.url" -}}
http://{{ include "error-ingestor.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end }}

{{/* Bytes of a quantity such as 10Gi. */}}
{{- define "error-ingestor.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- $unit := regexFind "[A-Za-z]*$" . }}
{{- mulf (trimSuffix $unit . | float64) (get $units $unit) | int64 }}
{{- end }}

{{/* 2, and 1 where ClickHouse lives in the pod. */}}
{{- define "error-ingestor.replicas" -}}
{{- if kindIs "invalid" .Values.replicaCount }}
{{- ternary 1 2 (eq .Values.clickhouse.mode "embedded") }}
{{- else }}
{{- int .Values.replicaCount }}
{{- end }}
{{- end }}

{{/* The pod of the schema Job; takes (dict "root" . "secret" "name of the Secret with the password"). */}}
{{- define "error-ingestor.schemaPod" -}}
{{- $secret := .secret }}
{{- with .root }}
{{- $login := include "error-ingestor.migrator" . | fromYaml -}}
restartPolicy: OnFailure
{{- include "error-ingestor.pod" . | trim | nindent 0 }}
initContainers:
  - name: wait
    image: {{ include "error-ingestor.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [node, --input-type=module, --eval]
    args:
      - |
        {{- .Files.Get "files/wait.mjs" | nindent 8 }}
    securityContext:
      {{- toYaml .Values.securityContext | nindent 6 }}
    env:
      - name: CLICKHOUSE_HOST
        value: {{ tpl .Values.clickhouse.external.url . | quote }}
      {{- with .Values.extraEnv }}
      {{- tpl (toYaml .) $.root | nindent 6 }}
      {{- end }}
    resources:
      {{- toYaml .Values.schemaJob.resources | nindent 6 }}
    {{- with .Values.extraVolumeMounts }}
    volumeMounts:
      {{- tpl (toYaml .) $.root | nindent 6 }}
    {{- end }}
containers:
  - name: migrate
    image: {{ include "error-ingestor.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [migrate]
    securityContext:
      {{- toYaml .Values.securityContext | nindent 6 }}
    env:
      - name: CLICKHOUSE_HOST
        value: {{ tpl .Values.clickhouse.external.url . | quote }}
      - name: CLICKHOUSE_DATABASE
        value: {{ .Values.clickhouse.database | quote }}
      - name: CLICKHOUSE_USER
        value: {{ $login.user | quote }}
      {{- with include "error-ingestor.passwordEnv" (dict "root" . "login" $login "made" $secret) | trim }}{{ . | nindent 6 }}{{ end }}
      {{- with .Values.config.RETENTION_DAYS }}
      - name: RETENTION_DAYS
        value: {{ int64 . | quote }}
      {{- end }}
      {{- with .Values.extraEnv }}
      {{- tpl (toYaml .) $.root | nindent 6 }}
      {{- end }}
    {{- with .Values.extraEnvFrom }}
    envFrom:
      {{- tpl (toYaml .) $.root | nindent 6 }}
    {{- end }}
    resources:
      {{- toYaml .Values.schemaJob.resources | nindent 6 }}
    {{- with .Values.extraVolumeMounts }}
    volumeMounts:
      {{- tpl (toYaml .) $.root | nindent 6 }}
    {{- end }}
{{- with .Values.extraVolumes }}
volumes:
  {{- tpl (toYaml .) $.root | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
