/** An app of the run. */
export interface LawApp {
  readonly id: string
  readonly key: string
  /** Nothing limits it. */
  readonly isPlain: boolean
  /** Whether events of its issues are dropped when they are many. */
  readonly hasSpikeGuard: boolean
  projectId: number
}

const LIMITS = {
  'law-plain-1': undefined,
  'law-plain-2': undefined,
  'law-plain-3': undefined,
  'law-limited': { requestsPerSecond: 1.5, eventsPerSecond: 1 },
  'law-quota': { eventsPerDay: 100 },
  'law-spiky': { spikeGuard: { eventsPerMinute: 10 } },
} as const

const all = Object.entries(LIMITS).map(([id, limits], n) => ({
  ...{ id, key: `ei_law_key_00000000${n}`, projectId: 0 },
  isPlain: limits === undefined,
  hasSpikeGuard: limits !== undefined && 'spikeGuard' in limits,
}))
const [first, ...others] = all
if (first === undefined) throw new Error('There is no app.')

/** All of them. */
export const APPS: readonly [LawApp, ...LawApp[]] = [first, ...others]

/** As the setting `APPS` has them. */
export const APPS_SETTING = JSON.stringify(
  all.map(({ id, key }, n) => ({
    ...{ id, name: id, limits: Object.values(LIMITS)[n] },
    keys: [{ key, scopes: ['ingest', 'read'] }],
  })),
)
