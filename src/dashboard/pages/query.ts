import type { EventFilter, TimeRange } from '../../store/store.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
// What a DateTime64(3) of ClickHouse can hold ends in 2299.
const TIME_MS_MAX = Date.UTC(2299, 11, 31)

/** The ranges offered as one click: what stands in the address, how it reads, and its length. */
export const PRESETS = [
  { name: '6h', label: '6 h', title: 'the last 6 hours', lengthMs: 6 * HOUR_MS },
  { name: '24h', label: '24 h', title: 'the last 24 hours', lengthMs: DAY_MS },
  { name: '7d', label: '7 d', title: 'the last 7 days', lengthMs: 7 * DAY_MS },
  { name: '30d', label: '30 d', title: 'the last 30 days', lengthMs: 30 * DAY_MS },
  { name: '90d', label: '90 d', title: 'the last 90 days', lengthMs: 90 * DAY_MS },
] as const
/** What applies where the address names none: the default of the API. */
export const PRESET_DEFAULT = PRESETS[1]

/** The filters of the page and of the API, in the API's names. */
export const FILTERS = [
  'q',
  'code',
  'level',
  'platform',
  'environment',
  'appVersion',
  'userId',
  'issue',
] as const
/** One of {@link FILTERS}. */
export type FilterName = (typeof FILTERS)[number]

/** What a list page was asked for, as its address says it. */
export interface ListQuery {
  readonly appId: string | undefined
  /** One of {@link PRESETS}; undefined where the address gives a start or an end itself. */
  readonly preset: (typeof PRESETS)[number] | undefined
  /** As given; empty where absent or not understood. */
  readonly startTime: string
  readonly endTime: string
  readonly range: TimeRange
  readonly filters: Readonly<Partial<Record<FilterName, string>>>
  /** The last event of the page before. */
  readonly after: { readonly timestampMs: number; readonly id: string } | undefined
  /** What could not be understood, as sentences; the default stands in its place. */
  readonly problems: readonly string[]
}

/** Reads the address of a list page. Never throws: what is wrong is in `problems`. */
export function readQuery(params: URLSearchParams, nowMs: number): ListQuery {
  const problems: string[] = []
  const filters: Partial<Record<FilterName, string>> = {}
  for (const name of FILTERS) {
    const value = params.get(name)?.trim()
    if (value !== undefined && value !== '') filters[name] = value
  }
  const given = readRange(params, nowMs, problems)
  const preset = given === undefined ? readPreset(params.get('range'), problems) : undefined
  const lengthMs = (preset ?? PRESET_DEFAULT).lengthMs
  const last = { startTime: '', endTime: '', range: { startMs: nowMs - lengthMs, endMs: nowMs } }
  return {
    appId: nonEmpty(params.get('appId')),
    preset,
    ...(given ?? last),
    filters,
    after: readCursor(params.get('after'), problems),
    problems,
  }
}

/** The store's filter of a query. */
export function eventFilter(query: ListQuery, appId: string): EventFilter {
  return { appId, range: query.range, ...query.filters }
}

/** The address of the same list with some things changed; an empty text takes a thing away. */
export function listHref(
  query: ListQuery,
  appId: string,
  changes: Readonly<Record<string, string>> = {},
): string {
  const params = new URLSearchParams({ appId })
  for (const [name, value] of Object.entries({
    ...query.filters,
    ...rangeIn(query),
    ...changes,
  })) {
    if (value !== '') params.set(name, value)
  }
  return `/?${params.toString()}`
}

/** The range of a query as its address has it. */
function rangeIn({ preset, startTime, endTime }: ListQuery): Record<string, string> {
  const range = preset === undefined || preset === PRESET_DEFAULT ? '' : preset.name
  return { range, startTime, endTime }
}

/** The address of the ledger over the same range; of all apps where `appId` is undefined. */
export function ledgerHref(
  query: ListQuery,
  appId: string | undefined,
  changes: Readonly<Record<string, string>> = {},
): string {
  const params = new URLSearchParams(appId === undefined ? { scope: 'all' } : { appId })
  for (const [name, value] of Object.entries({ ...rangeIn(query), ...changes })) {
    if (value !== '') params.set(name, value)
  }
  return `/ledger?${params.toString()}`
}

/** The address of one event. */
export function eventHref(appId: string, id: string): string {
  return `/errors/${encodeURIComponent(id)}?${new URLSearchParams({ appId }).toString()}`
}

/** What `after` says of an event, for the address of the page that follows it. */
export function cursorOf(event: { readonly timestamp: string; readonly id: string }): string {
  return `${Date.parse(event.timestamp)}_${event.id}`
}

/** A moment as `datetime-local` fields hold it, in UTC, no longer than it has to be. */
export function fieldTime(ms: number): string {
  const text = new Date(ms).toISOString()
  return text.slice(0, ms % 60_000 === 0 ? 16 : ms % 1_000 === 0 ? 19 : 23)
}

function readPreset(name: string | null, problems: string[]) {
  const preset = PRESETS.find((one) => one.name === name)
  if (preset === undefined && name !== null && name !== '') {
    problems.push(`The range must be one of ${PRESETS.map((one) => one.name).join(', ')}.`)
  }
  return preset ?? PRESET_DEFAULT
}

/** The range that the address gives by its ends; undefined where it gives none that can be used. */
function readRange(
  params: URLSearchParams,
  nowMs: number,
  problems: string[],
): Pick<ListQuery, 'startTime' | 'endTime' | 'range'> | undefined {
  const startTime = params.get('startTime')?.trim() ?? ''
  const endTime = params.get('endTime')?.trim() ?? ''
  if (startTime === '' && endTime === '') return undefined
  const start = startTime === '' ? undefined : readTime(startTime, 'start', problems)
  const end = endTime === '' ? undefined : readTime(endTime, 'end', problems)
  if (problems.length > 0) return undefined
  const endMs = end ?? Math.max(nowMs, start ?? 0)
  const startMs = start ?? Math.max(0, endMs - DAY_MS)
  if (startMs <= endMs) return { startTime, endTime, range: { startMs, endMs } }
  problems.push('The start must not lie after the end.')
  return undefined
}

/** ISO 8601 with a zone, or what a `datetime-local` field sends, which is read as UTC. */
function readTime(text: string, which: string, problems: string[]): number | undefined {
  const match =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text)
  const ms = match ? Date.parse(`${match[1] ?? ''}T${match[2] ?? '00:00'}${match[3] ?? 'Z'}`) : NaN
  if (ms >= 0 && ms <= TIME_MS_MAX) return ms
  problems.push(`The ${which} of the range must be a time like 2026-01-15T10:30, in UTC.`)
  return undefined
}

function readCursor(text: string | null, problems: string[]): ListQuery['after'] {
  if (text === null || text === '') return undefined
  const match = /^(\d{1,14})_([0-9a-f-]{36})$/.exec(text)
  if (match === null) {
    problems.push('That page cannot be found again; this is the newest one.')
    return undefined
  }
  return { timestampMs: Number(match[1]), id: match[2] ?? '' }
}

function nonEmpty(text: string | null): string | undefined {
  return text === null || text === '' ? undefined : text
}
