import { z } from 'zod'

const perSecond = z.number().positive().max(1_000_000)
const events = z.number().int().positive()

/** Globs that an app may add to the rules of scrubbing. */
const SCRUB_GLOBS_MAX = 100
const SCRUB_GLOB_CHARS_MAX = 200
/** Entries of an app's list of origins. */
const ORIGINS_MAX = 100
const RETENTION_DAYS_MAX = 36_500

/** What an app may send; where a number is absent, the server's own setting counts. */
const Limits = z.strictObject({
  requestsPerSecond: perSecond.optional().describe('Requests a second of one key on one pod.'),
  eventsPerSecond: perSecond.optional().describe('Events a second of one key on one pod.'),
  burst: perSecond
    .optional()
    .describe('Seconds of requests and events that may come at once after a quiet time.'),
  eventsPerDay: events.optional().describe('Events a day of the whole app, over all pods, in UTC.'),
  spikeGuard: z
    .strictObject({
      eventsPerMinute: events.describe('Events of one issue that are kept in a minute.'),
    })
    .optional()
    .describe('What one issue has beyond it is dropped; off where absent.'),
})
/** What an app removes beside the default rules, before anything is kept. */
const Scrub = z.strictObject({
  globs: z
    .array(z.string().min(1).max(SCRUB_GLOB_CHARS_MAX))
    .max(SCRUB_GLOBS_MAX)
    .default([])
    .describe('Names of fields whose values go, with * for any text: `*_ssn`, `user.email`.'),
  truncateIp: z.boolean().default(false).describe('Cut IP addresses to their network.'),
})
/** A web page's origin, or all subdomains of one; `null` is what a file or a sandbox sends. */
const Origin = z
  .string()
  .max(300)
  .transform((text) => text.toLowerCase())
  .refine(
    (text) =>
      text === 'null' || /^[a-z][a-z0-9+.-]*:\/\/(\*\.)?[a-z0-9.\-[\]]+(:(\d+|\*))?$/.test(text),
    'must be an origin as https://shop.example.com or https://*.example.com',
  )

/** What may be set of an app, wherever it is declared; each is optional. */
export const AppOptions = {
  limits: Limits.optional().describe('What the app may send.'),
  origins: z
    .array(Origin)
    .max(ORIGINS_MAX)
    .optional()
    .describe('Web pages that may send with its keys; any where absent or empty.'),
  retentionDays: z
    .number()
    .int()
    .min(1)
    .max(RETENTION_DAYS_MAX)
    .optional()
    .describe('Days after which its events are deleted; RETENTION_DAYS where absent.'),
  scrub: Scrub.optional().describe('What is removed beside the default rules.'),
}

const KeySetting = z.object({
  key: z.string().regex(/^[\w-]{8,200}$/, 'must be 8 to 200 letters, digits, _ or -'),
  scopes: z
    .array(z.enum(['ingest', 'read', 'sourcemaps', 'admin']))
    .min(1)
    .default(['ingest']),
  /** ISO 8601; the key is refused from then on. */
  expiresAt: z.iso.datetime({ offset: true }).optional(),
  revoked: z.boolean().default(false),
})

/** An app with its keys, as `APPS` declares it. */
export const AppSetting = z.object({
  id: z.string().min(1).max(200),
  name: z.string().min(1).max(200),
  createdAt: z.iso.datetime({ offset: true }).optional(),
  ...AppOptions,
  keys: z.array(KeySetting).default([]),
})
/** See the schema of the same name. */
export type AppSetting = z.infer<typeof AppSetting>

/**
 * The DSN by which Sentry SDKs reach an app at `base`, which may have a path.
 * @see https://develop.sentry.dev/sdk/foundations/transport/authentication/
 */
export function dsnOf(base: string, ingestKey: string, projectId: number): string {
  const { protocol, host, pathname } = new URL(base)
  return `${protocol}//${ingestKey}@${host}${pathname.replace(/\/+$/, '')}/${projectId}`
}
