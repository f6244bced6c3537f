{{/* What an upgrade would leave behind or cannot change, as a list of sentences in YAML. Helm says how it was by asking the
cluster; tools that render without one (Argo CD) hear nothing of it. */}}
{{- define "error-ingestor.changes" -}}
{{- $v := .Values }}
{{- $problems := list }}
{{- $name := include "error-ingestor.fullname" . }}
{{- $namespace := .Release.Namespace }}
{{- if .Release.IsUpgrade }}
{{- $was := (lookup "v1" "ConfigMap" $namespace $name).data | default dict }}
{{- $url := include "error-ingestor.clickhouseUrl" . }}
{{- /* Another address of an external ClickHouse is a matter of who runs it: it may be the same one. */}}
{{- $made := list "embedded" (printf "http://%s-clickhouse:8123" $name) }}
{{- /* Both operators' ClickHouse has the same address. */}}
{{- $others := dict "operator" "clickhouse.altinity.com/v1/ClickHouseInstallation" "altinity" "clickhouse.com/v1alpha1/ClickHouseCluster" }}
{{- $other := get $others $v.clickhouse.mode }}
{{- $moved := and (has $was.CLICKHOUSE_HOST $made) (ne $was.CLICKHOUSE_HOST $url) }}
{{- if and $other (.Capabilities.APIVersions.Has $other) }}
{{- $moved = or $moved (not (empty (lookup (dir $other) (base $other) $namespace (include "error-ingestor.clickhouseName" .)))) }}
{{- end }}
{{- if not $v.clickhouse.leaveData }}
{{- if $moved }}
{{- $problems = append $problems (printf "clickhouse.mode: this release keeps its events in %s, and with mode %s nobody would see them any more. Copy them first (a backup of one and a restore into the other), or begin anew: --set clickhouse.leaveData=true leaves them where they are" (ternary (printf "the ClickHouse inside its pod, on the claim data-%s-0" $name) "the ClickHouse that its operator made" (eq $was.CLICKHOUSE_HOST "embedded")) $v.clickhouse.mode) }}
{{- end }}
{{- if and $was.CLICKHOUSE_DATABASE (ne $was.CLICKHOUSE_DATABASE $v.clickhouse.database) }}
{{- $problems = append $problems (printf "clickhouse.database is %s, but the events of this release are in %s, and nobody would see them any more: set it back, or begin anew by --set clickhouse.leaveData=true" $v.clickhouse.database $was.CLICKHOUSE_DATABASE) }}
{{- end }}
{{- end }}
{{- with lookup "apps/v1" "StatefulSet" $namespace $name }}
{{- $how := printf "kubectl -n %s delete statefulset %s --cascade=orphan (the pods go on), then upgrade again" $namespace $name }}
{{- $claims := .spec.volumeClaimTemplates | default list }}
{{- if ne (empty $claims) (not $v.persistence.enabled) }}
{{- $problems = append $problems (printf "persistence.enabled cannot be changed in a StatefulSet that is there: %s" $how) }}
{{- else if $claims }}
{{- $claim := (first $claims).spec }}
{{- $size := $claim.resources.requests.storage }}
{{- if ne (include "error-ingestor.bytes" $size) (include "error-ingestor.bytes" $v.persistence.size) }}
{{- $problems = append $problems (printf "persistence.size is %s, but this release was made with %s, and Kubernetes does not change the claims of a StatefulSet: enlarge each of them (kubectl -n %s patch pvc data-%s-0 -p '{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"%s\"}}}}'), %s" $v.persistence.size $size $namespace $name $v.persistence.size $how) }}
{{- end }}
{{- if ne (toJson $claim.accessModes) (toJson $v.persistence.accessModes) }}
{{- $problems = append $problems (printf "persistence.accessModes is %s, but this release was made with %s, and claims cannot change theirs: set it back" (join ", " $v.persistence.accessModes) (join ", " $claim.accessModes)) }}
{{- end }}
{{- if and $v.persistence.storageClass (ne $v.persistence.storageClass ($claim.storageClassName | default "")) }}
{{- $problems = append $problems (printf "persistence.storageClass is %s, but this release was made with %s, and claims cannot change theirs: set it back" $v.persistence.storageClass ($claim.storageClassName | default "the cluster's default" )) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $problems }}
{{- end }}
