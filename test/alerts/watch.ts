import { vi } from 'vitest'
import { openPrometheus, type Prometheus } from '../support/prometheus.ts'
import type { Target } from './pods.ts'
import type { Rule } from './rules.ts'

/** A Prometheus with rules, which is told what to scrape. */
export interface Watch extends Pick<Prometheus, 'query' | 'stop'> {
  readonly add: (target: Target) => Promise<void>
  readonly remove: (target: Target) => Promise<void>
  /** Resolves once the alert fires (about the pod), with what it says. */
  readonly fires: (alert: string, pod?: string) => Promise<Readonly<Record<string, string>>>
  /** Resolves once it does not fire and is not about to. */
  readonly resolved: (alert: string, pod?: string) => Promise<void>
  readonly isQuiet: (alert: string, pod?: string) => Promise<boolean>
}

/** The chart's ServiceMonitor and the Prometheus operator have 30 s; a sixtieth is too short for a busy machine. */
const INTERVAL = '1s'
const WAIT = { timeout: 200_000, interval: 250 } as const

/** Starts one. */
export async function openWatch(rules: readonly Rule[]): Promise<Watch> {
  const scrape = {
    job_name: 'pods',
    scrape_timeout: '950ms',
    file_sd_configs: [{ files: ['targets.json'], refresh_interval: '1s' }],
  }
  const prometheus = await openPrometheus(
    {
      global: { scrape_interval: INTERVAL, evaluation_interval: INTERVAL },
      rule_files: ['rules.json'],
      scrape_configs: [scrape],
    },
    { 'rules.json': { groups: [{ name: 'chart', rules }] }, 'targets.json': [] },
  )
  let targets: readonly Target[] = []
  const scraped = async (next: readonly Target[]) => {
    targets = next
    await prometheus.put('targets.json', next)
  }
  const active = async (alert: string, pod: string | undefined) =>
    (await prometheus.alerts()).find(
      ({ labels }) => labels['alertname'] === alert && (pod === undefined || labels['pod'] === pod),
    )
  const until = async (what: string, isSo: () => Promise<boolean>) => {
    await vi.waitUntil(isSo, WAIT).catch(async (cause: unknown) => {
      const now = JSON.stringify(await prometheus.alerts())
      throw new Error(`${what}. Active: ${now}`, { cause })
    })
  }
  return {
    query: prometheus.query,
    stop: prometheus.stop,
    add: (target) => scraped([...targets, target]),
    remove: (target) => scraped(targets.filter((each) => each !== target)),
    async fires(alert, pod) {
      let said: Readonly<Record<string, string>> = {}
      await until(`${alert} does not fire`, async () => {
        const found = await active(alert, pod)
        said = found?.annotations ?? {}
        return found?.state === 'firing'
      })
      return said
    },
    resolved: (alert, pod) =>
      until(`${alert} does not resolve`, async () => (await active(alert, pod)) === undefined),
    isQuiet: async (alert, pod) => (await active(alert, pod)) === undefined,
  }
}
