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

{{/* Yes where an operator makes ClickHouse. */}}
{{- define "error-ingestor.managed" -}}
{{- if has .Values.clickhouse.mode (list "altinity" "operator") }}yes{{ end }}
{{- end }}

{{/* Yes where the chart keeps the passwords of ClickHouse's users itself. */}}
{{- define "error-ingestor.managedPasswords" -}}
{{- $own := false }}
{{- range .Values.clickhouse.managed.users }}{{ if not .existingSecret.name }}{{ $own = true }}{{ end }}{{ end }}
{{- if and $own (include "error-ingestor.managed" .) }}yes{{ end }}
{{- end }}

{{/* Where ClickHouse is asked over HTTP. */}}
{{- define "error-ingestor.clickhouseUrl" -}}
{{- if include "error-ingestor.embedded" . }}embedded
{{- else if include "error-ingestor.managed" . }}http://{{ include "error-ingestor.fullname" . }}-clickhouse:8123
{{- else }}{{ tpl .Values.clickhouse.external.url . }}
{{- end }}
{{- end }}

{{- define "error-ingestor.clickhousePort" -}}
{{- $url := include "error-ingestor.clickhouseUrl" . | urlParse }}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}

{{/* A user that an operator makes, as YAML: `user`, and `secret` and `key` with its password. Takes (dict "root" . "role" "writer"). */}}
{{- define "error-ingestor.managedLogin" -}}
{{- $user := get .root.Values.clickhouse.managed.users .role }}
user: {{ $user.name }}
{{- if $user.existingSecret.name }}
secret: {{ tpl $user.existingSecret.name .root }}
key: {{ $user.existingSecret.key }}
{{- else }}
secret: {{ include "error-ingestor.fullname" .root }}-clickhouse-users
key: {{ .role }}
{{- end }}
{{- end }}

{{/* A user of an external ClickHouse in the same words; takes (dict "root" . "login" login "made" "the chart's Secret"). */}}
{{- define "error-ingestor.externalLogin" -}}
user: {{ .login.user }}
{{- if .login.existingSecret.name }}
secret: {{ tpl .login.existingSecret.name .root }}
key: {{ .login.existingSecret.key }}
{{- else if .login.password }}
secret: {{ .made }}
key: password
{{- end }}
{{- end }}

{{/* The server's login, as YAML. */}}
{{- define "error-ingestor.serverLogin" -}}
{{- if include "error-ingestor.managed" . }}
{{- include "error-ingestor.managedLogin" (dict "root" . "role" "writer") }}
{{- else }}
{{- include "error-ingestor.externalLogin" (dict "root" . "login" .Values.clickhouse.external "made" (printf "%s-clickhouse" (include "error-ingestor.fullname" .))) }}
{{- end }}
{{- end }}

{{/* The schema Job's login, as YAML; takes (dict "root" . "made" "the Secret that the Job brings along"). */}}
{{- define "error-ingestor.schemaLogin" -}}
{{- if include "error-ingestor.managed" .root }}
{{- include "error-ingestor.managedLogin" (dict "root" .root "role" "migrator") }}
{{- else }}
{{- include "error-ingestor.externalLogin" (dict "root" .root "login" (include "error-ingestor.migrator" .root | fromYaml) "made" .made) }}
{{- end }}
{{- end }}

{{/* CLICKHOUSE_PASSWORD of a login. */}}
{{- define "error-ingestor.passwordEnv" -}}
{{- if .secret }}
- name: CLICKHOUSE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end }}
{{- end }}

{{/* Who makes the tables of an external ClickHouse: a user of its own, or the server's. */}}
{{- define "error-ingestor.migrator" -}}
{{- $external := .Values.clickhouse.external }}
{{- ternary $external.migrator (pick $external "user" "password" "existingSecret") (ne $external.migrator.user "") | toYaml }}
{{- end }}

{{- define "error-ingestor.url" -}}
http://{{ include "error-ingestor.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end }}

{{/* Command that says what is wrong with a server and what to do. */}}
{{- define "error-ingestor.doctor" -}}
kubectl -n {{ .Release.Namespace }} exec {{ include "error-ingestor.fullname" . }}-0 -- node /app/dist/main.js doctor
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
{{- $login := include "error-ingestor.schemaLogin" (dict "root" . "made" $secret) | fromYaml -}}
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
        value: {{ include "error-ingestor.clickhouseUrl" . | quote }}
      {{- if include "error-ingestor.ca" . }}
      - name: NODE_EXTRA_CA_CERTS
        value: /clickhouse-ca/{{ .Values.clickhouse.external.ca.key }}
      {{- end }}
      {{- with .Values.extraEnv }}
      {{- tpl (toYaml .) $.root | nindent 6 }}
      {{- end }}
    resources:
      {{- toYaml .Values.schemaJob.resources | nindent 6 }}
    {{- include "error-ingestor.jobMounts" . | nindent 4 }}
containers:
  - name: migrate
    image: {{ include "error-ingestor.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [migrate]
    securityContext:
      {{- toYaml .Values.securityContext | nindent 6 }}
    env:
      - name: CLICKHOUSE_HOST
        value: {{ include "error-ingestor.clickhouseUrl" . | quote }}
      - name: CLICKHOUSE_DATABASE
        value: {{ .Values.clickhouse.database | quote }}
      {{- with include "error-ingestor.cluster" . }}
      - name: CLICKHOUSE_CLUSTER
        value: {{ . | quote }}
      {{- end }}
      {{- with include "error-ingestor.clusterHosts" . }}
      - name: CLICKHOUSE_CLUSTER_HOSTS
        value: {{ . | quote }}
      {{- end }}
      - name: CLICKHOUSE_USER
        value: {{ $login.user | quote }}
      {{- with include "error-ingestor.passwordEnv" $login | trim }}{{ . | nindent 6 }}{{ end }}
      {{- with include "error-ingestor.caEnv" $.root | trim }}{{ . | nindent 6 }}{{ end }}
      {{- with .Values.config.RETENTION_DAYS }}
      - name: RETENTION_DAYS
        value: {{ int64 . | quote }}
      {{- end }}
      {{- $aging := list }}
      {{- range .Values.apps }}{{ if .retentionDays }}{{ $aging = append $aging (pick . "id" "name" "retentionDays") }}{{ end }}{{ end }}
      {{- with $aging }}
      # How long events of apps are kept is a matter of the tables; their keys are not.
      - name: APPS
        value: {{ toJson . | quote }}
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
    {{- include "error-ingestor.jobMounts" . | nindent 4 }}
{{- if or .Values.extraVolumes (include "error-ingestor.ca" .) }}
volumes:
  {{- with include "error-ingestor.caVolume" . | trim }}{{ . | nindent 2 }}{{ end }}
  {{- with .Values.extraVolumes }}
  {{- tpl (toYaml .) $.root | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the containers of the schema Job mount. */}}
{{- define "error-ingestor.jobMounts" -}}
{{- if or .Values.extraVolumeMounts (include "error-ingestor.ca" .) -}}
volumeMounts:
  {{- with include "error-ingestor.caMount" . | trim }}{{ . | nindent 2 }}{{ end }}
  {{- with .Values.extraVolumeMounts }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Name of the operator's resource: pods and labels made of it have at most 63 characters. */}}
{{- define "error-ingestor.clickhouseName" -}}
{{- include "error-ingestor.fullname" . | trunc 34 | trimSuffix "-" }}
{{- end }}

{{/* Labels of ClickHouse's pods, as the operator sets them. */}}
{{- define "error-ingestor.clickhousePodLabels" -}}
{{- if eq .Values.clickhouse.mode "altinity" -}}
clickhouse.altinity.com/chi: {{ include "error-ingestor.clickhouseName" . }}
{{- else -}}
app: {{ include "error-ingestor.clickhouseName" . }}-clickhouse
clickhouse.com/role: clickhouse-server
{{- end }}
{{- end }}

{{/* Labels of Keeper's pods, as the operator sets them. */}}
{{- define "error-ingestor.keeperPodLabels" -}}
{{- if eq .Values.clickhouse.mode "altinity" -}}
clickhouse-keeper.altinity.com/chk: {{ include "error-ingestor.clickhouseName" . }}
{{- else -}}
app: {{ include "error-ingestor.clickhouseName" . }}-keeper
clickhouse.com/role: clickhouse-keeper
{{- end }}
{{- end }}

{{/* Name of the cluster that the tables are spread over; empty where one server has them. */}}
{{- define "error-ingestor.cluster" -}}
{{- $managed := .Values.clickhouse.managed }}
{{- if eq .Values.clickhouse.mode "external" }}{{ .Values.clickhouse.external.cluster }}
{{- else if and (include "error-ingestor.managed" .) (or (gt (int $managed.shards) 1) (gt (int $managed.replicas) 1)) }}
{{- /* The official operator calls it so. */}}
{{- ternary "default" $managed.cluster (eq .Values.clickhouse.mode "operator") }}
{{- end }}
{{- end }}

{{- define "error-ingestor.clusterHosts" -}}
{{- if eq .Values.clickhouse.mode "external" }}{{ join "," .Values.clickhouse.external.clusterHosts }}{{ end }}
{{- end }}

{{/* Yes where Keeper runs beside ClickHouse: several servers are told by it what their tables are. */}}
{{- define "error-ingestor.keeper" -}}
{{- if or (eq .Values.clickhouse.mode "operator") (include "error-ingestor.cluster" .) }}yes{{ end }}
{{- end }}

{{/* Grants of the role of a user: exactly what it does. Removing source maps is the server's only deletion, unless it is
given more (docs/security.md). */}}
{{- define "error-ingestor.grants" -}}
{{- $database := .root.Values.clickhouse.database }}
{{- /* In a cluster the tables of all servers stand before those of each. */}}
{{- $cluster := include "error-ingestor.cluster" .root }}
{{- $own := ternary (printf "%s_local" $database) $database (not (empty $cluster)) }}
{{- range list $database $own | uniq }}
{{- if eq $.role "writer" }}
- GRANT SELECT, INSERT ON {{ . }}.*
{{- else if eq $.role "reader" }}
- GRANT SELECT ON {{ . }}.*
{{- else }}
- GRANT ALL ON {{ . }}.*
{{- end }}
{{- end }}
{{- if eq .role "writer" }}
- GRANT ALTER UPDATE, ALTER DELETE ON {{ $own }}.source_maps
{{- $writer := .root.Values.clickhouse.managed.users.writer }}
{{- if $writer.forgetsUsers }}
{{- range list "occurrences" "hourly_users" }}
- GRANT ALTER DELETE ON {{ $own }}.{{ . }}
{{- end }}
{{- end }}
{{- if $writer.setsRetention }}
- GRANT ALTER TTL, ALTER MODIFY COMMENT ON {{ $own }}.occurrences
{{- range list "hourly" "hourly_users" "touched" "doubles" }}
- GRANT ALTER TTL ON {{ $own }}.{{ . }}
{{- end }}
{{- end }}
{{- else if eq .role "migrator" }}
- GRANT TABLE ENGINE ON *
{{- if $cluster }}
- GRANT REMOTE ON *.*
- GRANT SELECT ON system.clusters
- GRANT SELECT ON system.tables
{{- end }}
{{- end }}
{{- if and $cluster (ne .role "reader") }}
- GRANT CLUSTER ON *.*
{{- end }}
{{- end }}

{{- define "error-ingestor.clickhousePullSecrets" -}}
{{- range concat .Values.global.imagePullSecrets .Values.clickhouse.managed.image.pullSecrets | uniq }}
- name: {{ . }}
{{- end }}
{{- end }}

{{/* Image of ClickHouse or Keeper, behind the global registry: `repository` and `tag`. */}}
{{- define "error-ingestor.clickhouseRepository" -}}
{{- with .root.Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- end }}

{{/* Who asks the questions, as YAML: `user`, `secret` and `key`; empty where it is the server's user. */}}
{{- define "error-ingestor.readerLogin" -}}
{{- if include "error-ingestor.managed" . }}
{{- include "error-ingestor.managedLogin" (dict "root" . "role" "reader") }}
{{- else if and (eq .Values.clickhouse.mode "external") .Values.clickhouse.external.reader.user }}
{{- include "error-ingestor.externalLogin" (dict "root" . "login" .Values.clickhouse.external.reader "made" (printf "%s-clickhouse-reader" (include "error-ingestor.fullname" .))) }}
{{- end }}
{{- end }}

{{/* Where certificates of ClickHouse's own lie, for the environment of whoever talks to it. */}}
{{- define "error-ingestor.caEnv" -}}
{{- if include "error-ingestor.ca" . }}
- name: CLICKHOUSE_CA_FILE
  value: /clickhouse-ca/{{ .Values.clickhouse.external.ca.key }}
{{- end }}
{{- end }}

{{/* Yes where ClickHouse has certificates of its own. */}}
{{- define "error-ingestor.ca" -}}
{{- $ca := .Values.clickhouse.external.ca }}
{{- if and (eq .Values.clickhouse.mode "external") (or $ca.secret $ca.configMap) }}yes{{ end }}
{{- end }}

{{- define "error-ingestor.caMount" -}}
{{- if include "error-ingestor.ca" . }}
- name: clickhouse-ca
  mountPath: /clickhouse-ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "error-ingestor.caVolume" -}}
{{- $ca := .Values.clickhouse.external.ca }}
{{- if include "error-ingestor.ca" . }}
- name: clickhouse-ca
  {{- if $ca.secret }}
  secret: { secretName: {{ tpl $ca.secret . | quote }} }
  {{- else }}
  configMap: { name: {{ tpl $ca.configMap . | quote }} }
  {{- end }}
{{- end }}
{{- end }}

{{/* Environment of a server: the one that serves, and the one that drains a claim. */}}
{{- define "error-ingestor.serverEnv" -}}
- name: PORT
  value: '3000'
- name: DATA_DIR
  value: /data
- name: KEYS_DIR
  value: /keys
{{- with include "error-ingestor.passwordEnv" (include "error-ingestor.serverLogin" . | fromYaml) | trim }}
{{ . }}
{{- end }}
{{- with include "error-ingestor.readerLogin" . | fromYaml }}
- name: CLICKHOUSE_READER_USER
  value: {{ .user | quote }}
{{- if .secret }}
- name: CLICKHOUSE_READER_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- with include "error-ingestor.caEnv" . | trim }}
{{ . }}
{{- end }}
{{- range $name, $secret := .Values.secretConfig }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      {{- if $secret.existingSecret }}
      name: {{ tpl $secret.existingSecret.name $ }}
      key: {{ $secret.existingSecret.key }}
      {{- else }}
      name: {{ include "error-ingestor.fullname" $ }}-settings
      key: {{ $name }}
      {{- end }}
{{- end }}
{{- end }}

{{/* Files with apps and keys, as a list of `kind` (secret or configMap), `name`, `key` and `path` in the folder. Nothing is
optional: a pod without its keys would refuse its clients for good, so it rather waits. */}}
{{- define "error-ingestor.keyFiles" -}}
{{- $files := list }}
{{- if or .Values.appsExistingSecret.name .Values.apps (include "error-ingestor.trial" .) }}
{{- $key := include "error-ingestor.appsSecretKey" . }}
{{- $files = append $files (dict "kind" "secret" "name" (include "error-ingestor.appsSecretName" .) "key" $key "path" (regexMatch "[.](json|ya?ml)$" $key | ternary $key (printf "%s.json" $key))) }}
{{- end }}
{{- range $kind, $sources := dict "secret" .Values.keys.secrets "configMap" .Values.keys.configMaps }}
{{- range $sources }}
{{- $name := tpl .name $ }}
{{- $key := .key | default "apps.json" }}
{{- $files = append $files (dict "kind" $kind "name" $name "key" $key "path" (printf "%s.%s.%s" (lower $kind) $name $key)) }}
{{- end }}
{{- end }}
{{- if .Values.keys.matchLabels }}
{{- range (lookup "v1" "Secret" .Release.Namespace "").items }}
{{- $secret := . }}
{{- $wanted := true }}
{{- range $label, $value := $.Values.keys.matchLabels }}{{ if ne (get ($secret.metadata.labels | default dict) $label) $value }}{{ $wanted = false }}{{ end }}{{ end }}
{{- range $key, $_ := ternary ($secret.data | default dict) dict $wanted }}
{{- if regexMatch "[.](json|ya?ml)$" $key }}
{{- $files = append $files (dict "kind" "secret" "name" $secret.metadata.name "key" $key "path" (printf "labelled.%s.%s" $secret.metadata.name $key)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $files }}
{{- end }}

{{/* Yes where the chart makes an app with a random key for a first try. */}}
{{- define "error-ingestor.trial" -}}
{{- $v := .Values }}
{{- if and (include "error-ingestor.embedded" .) (not (or $v.apps $v.appsExistingSecret.name $v.keys.secrets $v.keys.configMaps $v.keys.matchLabels $v.secretConfig.ADMIN_KEY)) }}yes{{ end }}
{{- end }}

{{/* Yes where somebody said how people sign in to the dashboard. */}}
{{- define "error-ingestor.signIn" -}}
{{- if or .Values.secretConfig.ADMIN_PASSWORD .Values.config.OIDC_ISSUER (eq (toString .Values.config.SIGN_IN_PROXY) "true") }}yes{{ end }}
{{- end }}

{{/* Yes where the chart makes a password for a first look at the dashboard. */}}
{{- define "error-ingestor.trialSignIn" -}}
{{- if and (include "error-ingestor.trial" .) (not (include "error-ingestor.signIn" .)) (not .Values.secretConfig.SESSION_SECRET) }}yes{{ end }}
{{- end }}

{{- define "error-ingestor.keysVolume" -}}
{{- $files := include "error-ingestor.keyFiles" . | fromYamlArray -}}
- name: keys
  {{- if $files }}
  projected:
    sources:
      {{- range $files }}
      - {{ .kind }}:
          name: {{ .name }}
          items: [{ key: {{ .key | quote }}, path: {{ .path | quote }} }]
      {{- end }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}

{{/* Readiness fails, open requests end, the last block is delivered: longer than all of these, plus the embedded ClickHouse's own end. */}}
{{- define "error-ingestor.terminationSeconds" -}}
{{- add .Values.shutdown.unreadySeconds .Values.shutdown.graceSeconds (ternary 30 10 (eq .Values.clickhouse.mode "embedded")) }}
{{- end }}

{{/* Regular expression of the names of the server's pods. */}}
{{- define "error-ingestor.podPattern" -}}
{{ include "error-ingestor.fullname" . }}-[0-9]+
{{- end }}
