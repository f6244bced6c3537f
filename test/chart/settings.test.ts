import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { z } from 'zod'
import manifest from '../../package.json' with { type: 'json' }
import { Environment } from '../../src/config.ts'

const CHART = 'charts/error-ingestor'
// These the chart sets itself, most of them from values with names of their own.
const OF_THE_CHART = [
  ...['NODE_ENV', 'PORT', 'HOST', 'METRICS_PORT', 'DATA_DIR', 'APPS', 'READY_WITHOUT_STORE'],
  ...['CLICKHOUSE_HOST', 'CLICKHOUSE_USER', 'CLICKHOUSE_PASSWORD', 'CLICKHOUSE_DATABASE'],
  ...['SPOOL_BYTES_MAX', 'SHUTDOWN_UNREADY_MS', 'SHUTDOWN_GRACE_MS'],
]
const Schema = z.object({
  properties: z.object({ config: z.object({ properties: z.record(z.string(), z.unknown()) }) }),
})

test('the chart takes every setting of the server that it does not set itself, and no other', async () => {
  const text = await readFile(`${CHART}/values.schema.json`, 'utf8')
  const taken = Object.keys(Schema.parse(JSON.parse(text)).properties.config.properties)
  const known = Object.keys(Environment.shape)
  expect(OF_THE_CHART.filter((name) => !known.includes(name))).toEqual([])
  expect(taken.sort()).toEqual(known.filter((name) => !OF_THE_CHART.includes(name)).sort())
})

test('the chart installs the version in package.json', async () => {
  const chart = await readFile(`${CHART}/Chart.yaml`, 'utf8')
  expect(/^appVersion: (.*)$/m.exec(chart)?.[1]).toBe(manifest.version)
})
