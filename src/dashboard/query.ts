import { z } from 'zod'
import { LEVELS, PLATFORMS } from '../occurrence.ts'
import { Refusal } from '../refusal.ts'

/** Events that `offset` can skip; beyond it every page costs more than the one before. */
const OFFSET_MAX = 100_000
/** Events on one page. */
const PAGE_EVENTS_MAX = 1_000
const TEXT_CHARS_MAX = 1_024

const text = (what: string) =>
  z
    .string()
    .max(TEXT_CHARS_MAX, `must have at most ${TEXT_CHARS_MAX} characters`)
    .optional()
    .describe(what)

const oneOf = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z.enum(names, `must be one of ${names.join(', ')}`)

function wholeNumber(min: number, max: number, fallback: number, what: string, hint = '') {
  const message = `must be a whole number from ${min} to ${max}${hint}`
  return z
    .string()
    .regex(/^\d{1,15}$/, message)
    .transform(Number)
    .pipe(z.number().min(min, message).max(max, message))
    .default(fallback)
    .meta({
      description: what,
      override: { type: 'integer', minimum: min, maximum: max, default: fallback },
    })
}

// A plus sign that nobody escaped comes out of a query string as a space.
const unescapedZone = / (?=\d\d:\d\d$)/

const time = (what: string) =>
  z
    .string()
    .transform((given) => given.replace(unescapedZone, '+'))
    .pipe(
      z.iso.datetime({
        offset: true,
        error: 'must be an ISO 8601 date and time with zone, as 2024-01-15T10:30:00.000Z',
      }),
    )
    .transform((given) => Date.parse(given))
    .optional()
    .meta({ description: what, override: { type: 'string', format: 'date-time' } })

const appId = z
  .string({ error: 'is needed: say the id of the app, as ?appId=test-app' })
  .max(200, 'must have at most 200 characters')
  .describe('The app; a key reads its own app only.')

const range = {
  startTime: time('First moment of the range, which belongs to it.'),
  endTime: time('Last moment of the range, which belongs to it; now where absent.'),
}

const filters = {
  code: text('Only this error code.'),
  appVersion: text('Only this version of the app.'),
  environment: text('Only this environment.'),
  issue: text('Only this issue.'),
}

/** Query of `GET /dashboard/api/errors`. Times come out in milliseconds since the Unix epoch. */
export const ErrorsQuery = z.object({
  appId,
  ...range,
  ...filters,
  userId: text('Only this user.'),
  platform: oneOf(PLATFORMS).optional().describe('Only this platform.'),
  level: oneOf(LEVELS).optional().describe('Only this level.'),
  q: text('Only events with this text in message or code.'),
  limit: wholeNumber(1, PAGE_EVENTS_MAX, 100, 'Events on the page.'),
  offset: wholeNumber(0, OFFSET_MAX, 0, 'Events to skip.', '; use cursor to read further'),
  cursor: z
    .string()
    .optional()
    .describe('Pages without an end: empty for the first, then `nextCursor` of the page before.'),
})

/** Query of `GET /dashboard/api/errors/{id}`. */
export const ErrorQuery = z.object({ appId })

/** Query of `GET /dashboard/api/trends`. */
export const TrendsQuery = z.object({
  appId,
  ...range,
  ...filters,
  granularity: oneOf(['hour', 'day']).default('hour').describe('Size of a bucket, in UTC.'),
  fill: oneOf(['true', 'false']).default('false').describe('Whether to list empty buckets too.'),
})

/** Query of `GET /dashboard/api/issues`. */
export const IssuesQuery = z.object({
  appId,
  ...range,
  limit: wholeNumber(1, PAGE_EVENTS_MAX, 100, 'Issues in the answer.'),
})

/** Query of `GET /dashboard/api/codes`. */
export const CodesQuery = z.object({ appId, ...range })

/** Query of `GET /dashboard/api/ledger`. */
export const LedgerQuery = z.object({
  appId: appId
    .optional()
    .describe('The app; absent for all of them and for what no app sent, to a key of all apps.'),
  ...range,
  granularity: oneOf(['hour', 'day']).default('hour').describe('Size of a bucket, in UTC.'),
})

/**
 * The query of a request, checked. An empty parameter counts as absent, except `cursor`;
 * unknown parameters are ignored.
 * @throws Refusal `malformed` naming the parameter.
 */
export function readQuery<Schema extends z.ZodType>(
  schema: Schema,
  request: Request,
): z.output<Schema> {
  const given = new Map<string, string>()
  for (const [name, value] of new URL(request.url).searchParams) {
    if (given.has(name)) throw new Refusal('malformed', `${name} may be given only once.`)
    if (value !== '' || name === 'cursor') given.set(name, value)
  }
  const parsed = schema.safeParse(Object.fromEntries(given))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new Refusal('malformed', `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}.`)
}
