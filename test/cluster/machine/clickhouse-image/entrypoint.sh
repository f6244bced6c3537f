#!/bin/bash
# Stands in for the ClickHouse image's entrypoint.
data=${CLICKHOUSE_PATH:-/var/lib/clickhouse}
mkdir -p "$data"
sleep infinity > >(exec node /opt/ch/ch --config-file=/etc/clickhouse-server/config.xml --path="$data" "$@"; kill "$$") &
keeper=$!
trap 'kill $keeper' TERM INT
wait $keeper
wait
