#!/usr/bin/env bash
# Renders the chart in every mode and holds the manifests against the schemas of Kubernetes, the alerts against promtool.
#
#   manifests.sh TOOLS    TOOLS: a folder with helm, kubeconform, promtool and schemas/<version>/ (schemas.py made them)
#
# CRDS: a folder of custom resource definitions. Without it, custom resources are not checked, which is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tools=$1
chart=charts/error-ingestor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

render() { # NAME VALUES… -- FLAGS…
  local name=$1 flags=()
  shift
  while [ "$1" != -- ]; do flags+=(--values "$chart/tests/values/$1.yaml") && shift; done
  shift
  "$tools/helm" template errors "$chart" --kube-version 1.34.0 --namespace errors --set clickhouse.crdCheck=false "${flags[@]}" "$@" >"$work/$name.yaml"
}
for mode in external embedded altinity operator; do
  render "$mode" "$mode" --
  render "$mode-upgrade" "$mode" -- --is-upgrade
  if [ "$mode" != embedded ]; then render "$mode-everything" "$mode" everything --; fi
done
render keda external -- --set keda.enabled=true --set keda.prometheus.serverAddress=http://prometheus:9090 \
  --set metrics.podMonitor.enabled=true --set persistence.enabled=false

valid() { # VERSION FILE…
  local version=$1 ignore=()
  shift
  [ -n "${CRDS:-}" ] || ignore=(-ignore-missing-schemas)
  "$tools/kubeconform" -strict -summary "${ignore[@]}" \
    -schema-location "$tools/schemas/$version/{{ .ResourceKind }}{{ .KindSuffix }}.json" \
    ${CRDS:+-schema-location "$work/crds/{{ .ResourceKind }}{{ .KindSuffix }}.json"} "$@"
}
if [ -n "${CRDS:-}" ]; then
  "${PYTHON:-python3}" test/chart/schemas.py "$work/crds" "$CRDS"/*.yaml
else
  echo 'ATTENTION: CRDS is not set, so custom resources are not checked against their definitions.'
fi
for version in "$tools"/schemas/*/; do
  version=$(basename "$version")
  echo "Kubernetes $version"
  valid "$version" "$work"/*.yaml
  # The check itself: a field that does not exist has to be found.
  sed 's/^  podManagementPolicy:/  podManagmentPolicy:/' "$work/external.yaml" >"$work/wrong"
  if valid "$version" - <"$work/wrong" >"$work/said"; then
    echo "A misspelt field was taken for valid." && exit 1
  fi
  grep -q podManagmentPolicy "$work/said"
done

# The alerts, as Prometheus reads them: the groups of the rendered PrometheusRule.
render rules external -- --set metrics.prometheusRule.enabled=true --show-only templates/prometheusrule.yaml
sed -n '/^  groups:/,$p' "$work/rules.yaml" | sed 's/^  //' >"$work/error-ingestor.rules.yaml"
cp test/chart/rules.test.yaml "$work/"
"$tools/promtool" check rules --lint=all --lint-fatal "$work/error-ingestor.rules.yaml"
"$tools/promtool" test rules "$work/rules.test.yaml"
sed -n 's/^- alert: //p' "$chart/files/rules.yaml" | while read -r alert; do
  grep -q "alertname: $alert$" test/chart/rules.test.yaml || { echo "No test fires $alert." && exit 1; }
done
echo 'Every alert fires in a test.'
