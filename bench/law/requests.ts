import type { Random } from '../chaos/random.ts'
import { APPS, type LawApp } from './apps.ts'

/** One request, and what becomes of each of its events where it is taken, or known where it is not. */
export interface Request {
  /** Stands in the message of each of its events. */
  readonly mark: number
  readonly kind: string
  readonly appId: string
  readonly protocol: 'native' | 'sentry' | 'otlp'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array<ArrayBuffer>
  /** Events that are stored; of an app with a spike guard some of them are dropped. */
  readonly stored: number
  /** Events that are known already. */
  readonly duplicate: number
  /** Events that are too old. */
  readonly expired: number
  /** Events that are refused beside the others, and why. */
  readonly refused: Readonly<Record<string, number>>
  /** What the client says it never sent, by category and reason. */
  readonly unsent: Readonly<Record<string, number>>
  /** Of a request that is refused as a whole, whatever for: how many events that is. */
  readonly wholly: number
}

/** Settings that the requests are made for. */
export const BOUNDS = { bodyBytesMax: 262_144, eventsMax: 200 } as const

const OLD = '2001-02-03T04:05:06Z'
const STACK = 'Error: it failed\n    at step (app.js:1:7)\n    at run (app.js:20:3)'

interface Draft {
  readonly mark: number
  readonly app: LawApp
  readonly random: Random
}
interface Kind {
  readonly name: string
  /** How often it is drawn, against the others. */
  readonly weight: number
  /** Only for apps without limits. */
  readonly plainOnly: boolean
  readonly make: (draft: Draft) => Partial<Request> & Pick<Request, 'path' | 'body' | 'protocol'>
}

/** A request of some kind; what limits it is known for apps with limits only where it holds one event. */
export function makeRequest(mark: number, random: Random): Request {
  const app = random.pick(APPS)
  const kinds = app.isPlain ? KINDS : KINDS.filter(({ plainOnly }) => !plainOnly)
  let at = random.next() * kinds.reduce((sum, { weight }) => sum + weight, 0)
  const kind = kinds.find(({ weight }) => (at -= weight) < 0) ?? FIRST
  const made = kind.make({ mark, app, random })
  return {
    ...{ mark, kind: kind.name, appId: app.id, stored: 0, duplicate: 0, expired: 0, wholly: 0 },
    ...{ refused: {}, unsent: {} },
    ...made,
    headers: { 'Content-Type': 'application/json', 'X-API-Key': app.key, ...made.headers },
  }
}

/** The same once more, behind its yes: everything in it is known by then. */
export function again(request: Request): Request {
  return { ...request, kind: 'again', stored: 0, duplicate: request.stored + request.duplicate }
}

function anEvent({ mark, app }: Draft, n: number, fields: object = {}): object {
  return {
    id: crypto.randomUUID(),
    code: `law/${n % 7}`,
    message: `law-${mark}-${n} failed`,
    stackTrace: STACK,
    appId: app.id,
    appVersion: '1.0.0',
    platform: 'web',
    platformVersion: '',
    timestamp: new Date().toISOString(),
    ...fields,
  }
}

const native = (events: readonly object[]) =>
  ({ protocol: 'native', path: '/api/v1/ingest', body: JSON.stringify({ events }) }) as const

const several = (draft: Draft, count: number, fields: object = {}) =>
  Array.from({ length: count }, (_, n) => anEvent(draft, n, fields))

function envelope(
  { app }: Draft,
  items: readonly (readonly [type: string, payload: object | string])[],
) {
  const lines = items.flatMap(([type, payload]) => [
    JSON.stringify({ type }),
    typeof payload === 'string' ? payload : JSON.stringify(payload),
  ])
  return {
    protocol: 'sentry',
    path: `/api/${app.projectId}/envelope/?sentry_key=${app.key}`,
    headers: { 'Content-Type': 'text/plain' },
    body: ['{}', ...lines].join('\n'),
  } as const
}

const aSentryEvent = ({ mark }: Draft, n: number) => ({
  event_id: crypto.randomUUID().replaceAll('-', ''),
  timestamp: Date.now() / 1_000,
  platform: 'javascript',
  exception: { values: [{ type: 'LawError', value: `law-${mark}-${n} failed` }] },
})

function logs({ mark }: Draft, errors: number, others: number) {
  const record = (n: number, severityNumber: number) => ({
    timeUnixNano: `${Date.now()}${String(n).padStart(6, '0')}`,
    severityNumber,
    body: { stringValue: `law-${mark}-${n} failed` },
  })
  const logRecords = [
    ...Array.from({ length: errors }, (_, n) => record(n, 17)),
    ...Array.from({ length: others }, (_, n) => record(errors + n, 9)),
  ]
  const body = { resourceLogs: [{ scopeLogs: [{ logRecords }] }] }
  return { protocol: 'otlp', path: '/v1/logs', body: JSON.stringify(body) } as const
}

const FIRST: Kind = {
  name: 'native: one',
  weight: 20,
  plainOnly: false,
  make: (draft) => ({ ...native([anEvent(draft, 0)]), stored: 1 }),
}

const KINDS: readonly Kind[] = [
  FIRST,
  {
    name: 'native: a batch',
    weight: 20,
    plainOnly: true,
    make: (draft) => {
      const stored = draft.random.whole(2, BOUNDS.eventsMax)
      return { ...native(several(draft, stored)), stored }
    },
  },
  {
    name: 'native: a batch that holds events twice',
    weight: 4,
    plainOnly: true,
    make: (draft) => {
      const events = several(draft, draft.random.whole(2, 20))
      const twice = events.slice(0, draft.random.whole(1, events.length))
      return { ...native([...events, ...twice]), stored: events.length, duplicate: twice.length }
    },
  },
  {
    name: 'native: a batch with invalid and old events',
    weight: 6,
    plainOnly: true,
    make: (draft) => {
      const [stored, bad, expired] = [1, 0, 0].map((least) => draft.random.whole(least, 8))
      const events = [
        ...several(draft, stored ?? 1),
        ...several(draft, bad ?? 0, { platform: 'toaster' }),
        ...several(draft, expired ?? 0, { timestamp: OLD }),
      ]
      const refused = bad === undefined || bad === 0 ? {} : { malformed: bad }
      return { ...native(events), stored: stored ?? 1, expired: expired ?? 0, refused }
    },
  },
  {
    name: 'native: only invalid events',
    weight: 3,
    plainOnly: true,
    make: (draft) => {
      const wholly = draft.random.whole(1, 8)
      return { ...native(several(draft, wholly, { platform: 'toaster' })), wholly }
    },
  },
  {
    name: 'native: events of another app',
    weight: 2,
    plainOnly: true,
    make: (draft) => ({ ...native(several(draft, 3, { appId: 'another' })), wholly: 3 }),
  },
  {
    name: 'native: no JSON',
    weight: 3,
    plainOnly: true,
    make: () => ({ ...native([]), body: '{"events":[', wholly: 1 }),
  },
  {
    name: 'native: a key that nobody has',
    weight: 3,
    plainOnly: true,
    make: (draft) => ({
      ...native(several(draft, 5)),
      // Whose it is, nobody knows.
      ...{ appId: '', headers: { 'X-API-Key': 'nobody_has_this_key' }, wholly: 1 },
    }),
  },
  {
    name: 'native: too many events',
    weight: 1,
    plainOnly: true,
    make: (draft) => ({ ...native(several(draft, BOUNDS.eventsMax + 1)), wholly: 1 }),
  },
  {
    name: 'native: too many bytes',
    weight: 1,
    plainOnly: true,
    make: (draft) => ({
      ...native([anEvent(draft, 0, { message: 'x'.repeat(BOUNDS.bodyBytesMax) })]),
      wholly: 1,
    }),
  },
  {
    name: 'native: an encoding that nobody knows',
    weight: 1,
    plainOnly: true,
    make: (draft) => ({
      ...native(several(draft, 2)),
      ...{ headers: { 'Content-Encoding': 'compress' }, wholly: 1 },
    }),
  },
  {
    name: 'native: broken gzip',
    weight: 1,
    plainOnly: true,
    make: (draft) => ({
      ...native([]),
      body: Uint8Array.from({ length: 100 }, () => draft.random.whole(0, 255)),
      ...{ headers: { 'Content-Encoding': 'gzip' }, wholly: 1 },
    }),
  },
  {
    name: 'sentry: an event',
    weight: 12,
    plainOnly: false,
    make: (draft) => ({ ...envelope(draft, [['event', aSentryEvent(draft, 0)]]), stored: 1 }),
  },
  {
    name: 'sentry: an event beside a transaction, a client report and a broken item',
    weight: 6,
    plainOnly: true,
    make: (draft) => {
      const quantity = draft.random.whole(1, 40)
      const report = {
        discarded_events: [{ reason: 'queue_overflow', category: 'error', quantity }],
      }
      return {
        ...envelope(draft, [
          ['transaction', { type: 'transaction' }],
          ['client_report', report],
          ['event', '{"event_id":'],
          ['event', aSentryEvent(draft, 0)],
        ]),
        ...{ stored: 1, refused: { malformed: 1 }, unsent: { 'error:queue_overflow': quantity } },
      }
    },
  },
  {
    name: 'sentry: no envelope',
    weight: 2,
    plainOnly: true,
    make: (draft) => ({ ...envelope(draft, []), body: 'what is this', wholly: 1 }),
  },
  {
    name: 'otlp: logs',
    weight: 10,
    plainOnly: true,
    make: (draft) => {
      const stored = draft.random.whole(1, 30)
      return { ...logs(draft, stored, draft.random.whole(0, 10)), stored }
    },
  },
  {
    name: 'otlp: more errors than a request may hold',
    weight: 1,
    plainOnly: true,
    make: (draft) => ({
      ...logs(draft, BOUNDS.eventsMax + 5, 0),
      ...{ stored: BOUNDS.eventsMax, refused: { too_large: 5 } },
    }),
  },
  {
    name: 'otlp: no logs',
    weight: 2,
    plainOnly: true,
    make: (draft) => ({ ...logs(draft, 0, 0), body: '{"resourceLogs":7}', wholly: 1 }),
  },
]
