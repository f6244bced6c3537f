import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { z } from 'zod'

const Rule = z.object({
  alert: z.string(),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()),
})
/** One alert of the chart, as Helm renders it. */
export type Rule = z.infer<typeof Rule>

const Manifest = z.object({
  spec: z.object({ groups: z.tuple([z.object({ name: z.string(), rules: z.array(Rule) })]) }),
})

/** The release whose pods the rules are about. */
const RELEASE = { name: 'errors', namespace: 'errors' } as const

/** A pod of the release, by its number. */
export const podName = (number: number) => `${RELEASE.name}-error-ingestor-${number}`

/** The rules of the chart for the release, as they are. */
export async function chartRules(): Promise<readonly Rule[]> {
  const { stdout } = await promisify(execFile)('helm', [
    ...['template', RELEASE.name, 'charts/error-ingestor', '--namespace', RELEASE.namespace],
    ...['--kube-version', '1.34.0'],
    ...['--values', 'charts/error-ingestor/tests/values/external.yaml'],
    ...['--set', 'metrics.prometheusRule.enabled=true'],
    ...['--show-only', 'templates/prometheusrule.yaml'],
  ])
  return Manifest.parse(parse(stdout)).spec.groups[0].rules
}

/**
 * The same rules in a sixtieth of the time: `for`, ranges (`[5m]`) and what is a number of minutes or
 * hours in an expression (`5 * 60`, `4 * 3600`); not what is about dates (`7 * 86400`). Nothing else changes.
 */
export function spedUp(rules: readonly Rule[]): readonly Rule[] {
  return rules.map(({ expr, for: duration, ...rule }) => ({
    ...rule,
    expr: expr
      .replaceAll(/\[(\d+[mh])\]/g, (_, range: string) => `[${sixtieth(range)}]`)
      .replaceAll(/(\d+) \* (3600|60)\b/g, (_, count: string, seconds: string) =>
        seconds === '3600' ? `${count} * 60` : count,
      ),
    ...(duration !== undefined && { for: sixtieth(duration) }),
  }))
}

function sixtieth(duration: string): string {
  const [, count = '', unit = ''] = /^(\d+)([mh])$/.exec(duration) ?? []
  if (unit === '') throw new Error(`${duration} is no number of minutes or hours.`)
  return `${count}${unit === 'h' ? 'm' : 's'}`
}
