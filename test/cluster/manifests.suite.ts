import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { command, namespace, PATIENCE, type Space } from './support.ts'
import { EXTERNAL, say } from './values.ts'

// What every manifest of the chart is held against: the API server's own validation and admission.
const CRDS = process.env['CRDS'] ?? ''
const CHART = 'charts/error-ingestor'
const MODES =
  CRDS === '' ? ['external', 'embedded'] : ['external', 'embedded', 'altinity', 'operator']
const EVERYTHING = [
  `--values=${CHART}/tests/values/everything.yaml`,
  // Pods of a class that does not exist are refused; this one always does.
  '--set=priorityClassName=system-cluster-critical',
]
const KEDA = [
  ...['--set=autoscaling.enabled=false', '--set=keda.enabled=true'],
  '--set=keda.prometheus.serverAddress=http://prometheus:9090',
]
const OF_OTHERS = [
  ...['httpRoute', 'metrics.serviceMonitor', 'metrics.prometheusRule'].map(
    (value) => `--set=${value}.enabled=false`,
  ),
]

let space: Space
beforeAll(async () => {
  space = await namespace('ei-manifests')
})
afterAll(() => space.leave())

test('an operator that is missing fails the install with what to do', async () => {
  await expect(space.install([...EXTERNAL, 'clickhouse.mode=altinity'])).rejects.toThrow(
    'install the operator first',
  )
  expect(await space.kubectl('get', 'statefulset', '--output=name')).toBe('')
})

test('a field that does not exist is refused, so the check finds something', async () => {
  const rendered = await space.helm(
    ...['template', 'errors', CHART, `--values=${CHART}/tests/values/external.yaml`],
    ...['--kube-version=1.34.0', '--show-only=templates/statefulset.yaml'],
  )
  const wrong = rendered.replace('podManagementPolicy:', 'podManagmentPolicy:')
  await expect(space.apply(wrong, '--server-side', '--dry-run=server')).rejects.toThrow(
    /podManagmentPolicy/,
  )
})

describe('beside the operators', () => {
  let added: string[] = []
  beforeAll(async () => {
    if (CRDS === '') {
      say('ATTENTION', 'CRDS names no folder of definitions: custom resources are left out')
      return
    }
    const known = await command('kubectl', 'get', 'crds', '--output=name')
    const files = (await readdir(CRDS)).filter((name) => name.endsWith('.yaml'))
    for (const file of files.map((name) => join(CRDS, name))) {
      const flags = ['--server-side', `--filename=${file}`, '--output=name']
      const applied = await command('kubectl', 'apply', ...flags)
      added.push(...applied.split('\n').filter((name) => !known.includes(name)))
    }
    await space.wait('--for=condition=Established', 'crds', '--all')
  })
  afterAll(async () => {
    if (added.length > 0) await command('kubectl', 'delete', ...added, PATIENCE)
    added = []
  })

  test.each(MODES.flatMap((mode) => [[mode, 'plain'] as const, [mode, 'everything'] as const]))(
    'the API server takes what the chart makes of %s, %s',
    async (mode, extent) => {
      const whole = extent === 'everything' && mode !== 'embedded'
      const flags = [
        ...['template', 'errors', CHART, `--values=${CHART}/tests/values/${mode}.yaml`],
        ...['--set=clickhouse.crdCheck=false', '--kube-version=1.34.0'],
        ...(whole ? EVERYTHING : []),
        ...(whole && CRDS === '' ? OF_OTHERS : []),
        ...(whole && CRDS !== '' && mode === 'external' ? KEDA : []),
      ]
      const rendered = await space.helm(...flags)
      const kinds = new Set([...rendered.matchAll(/^kind: (\w+)$/gm)].map(([, kind = '']) => kind))
      // Server-side: defaults, validation, admission (Pod Security too), and nothing is kept.
      const said = await space.apply(rendered, '--server-side', '--dry-run=server')
      const taken = said.split('\n').filter((line) => line.includes('serverside-applied'))
      expect(taken.length).toBe([...rendered.matchAll(/^kind: /gm)].length)
      expect(said).not.toMatch(/would violate PodSecurity/)
      say(`${mode}, ${extent}`, `${taken.length} objects of ${kinds.size} kinds`)
    },
  )
})
