import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { OF_THE_CHART, renderValuesSchema } from '../../docs/chart.ts'
import manifest from '../../package.json' with { type: 'json' }
import { Environment } from '../../src/config.ts'

const CHART = 'charts/error-ingestor'

test('the chart takes every setting of the server that it does not set itself, and no other (else: npm run render)', async () => {
  const text = await readFile(`${CHART}/values.schema.json`, 'utf8')
  expect(OF_THE_CHART.filter((name) => !Object.hasOwn(Environment.shape, name))).toEqual([])
  expect(text).toBe(renderValuesSchema(text))
})

test('the chart installs the version in package.json', async () => {
  const chart = await readFile(`${CHART}/Chart.yaml`, 'utf8')
  expect(/^appVersion: (.*)$/m.exec(chart)?.[1]).toBe(manifest.version)
})
