import { z } from 'zod'
import { AppOptions } from '../app-setting.ts'

const SCOPES = ['ingest', 'read', 'sourcemaps', 'admin'] as const
const NAME_CHARS_MAX = 200
const DAY_SECONDS = 86_400
const OVERLAP_SECONDS_MAX = 90 * DAY_SECONDS
const PAGE_ENTRIES_MAX = 1_000

const time = z.string().meta({ format: 'date-time' })
const success = z.literal(true)
const name = (what: string) =>
  z
    .string({ error: 'must be a text' })
    .min(1, 'must not be empty')
    .max(NAME_CHARS_MAX, `must have at most ${NAME_CHARS_MAX} characters`)
    .describe(what)
const appId = z
  .string({ error: 'must be a text' })
  .regex(/^[^\s/\p{Cc}]{1,200}$/u, 'must be 1 to 200 characters without spaces and slashes')
  .describe('Id of the app, as `com.example.shop`.')

/** Body of `POST /api/v1/admin/apps`. */
export const AppNew = z.strictObject(
  { id: appId, name: name('For people.'), ...AppOptions },
  'must be an object',
)

/** Body of `PATCH /api/v1/admin/apps/{app}`. */
export const AppPatch = z
  .strictObject(
    {
      name: name('For people.').optional(),
      limits: AppOptions.limits.nullable(),
      origins: AppOptions.origins.nullable(),
      retentionDays: AppOptions.retentionDays.nullable(),
      scrub: AppOptions.scrub.nullable(),
    },
    'must be an object',
  )
  .describe('What is absent stays; what is null goes.')

/** Body of `POST /api/v1/admin/keys`. */
export const KeyNew = z.strictObject(
  {
    appId: appId.optional().describe('Absent: a key of all apps, with the scopes read and admin.'),
    name: z
      .string({ error: 'must be a text' })
      .max(NAME_CHARS_MAX, `must have at most ${NAME_CHARS_MAX} characters`)
      .default('')
      .describe('What it is for, for people.'),
    scopes: z
      .array(z.enum(SCOPES, `must be out of ${SCOPES.join(', ')}`), { error: 'must be a list' })
      .min(1, 'must name at least one scope')
      .default(['ingest']),
    expiresAt: z.iso
      .datetime({
        offset: true,
        error: 'must be an ISO 8601 date and time with zone, as 2027-01-15T10:30:00Z',
      })
      .optional()
      .describe('Refused from then on; never where absent.'),
  },
  'must be an object',
)

/** Body of `POST /api/v1/admin/keys/{id}/rotate`. */
export const KeyRotation = z.strictObject(
  {
    overlapSeconds: z
      .number({ error: 'must be a number' })
      .int('must be a whole number')
      .min(0, 'must not be negative')
      .max(OVERLAP_SECONDS_MAX, `must be at most ${OVERLAP_SECONDS_MAX}`)
      .default(DAY_SECONDS)
      .describe('How long the old key goes on beside the new one.'),
  },
  'must be an object',
)

/** Query of `GET /api/v1/admin/keys`. */
export const KeysQuery = z.object({
  appId: z.string().optional().describe('Only the keys of this app.'),
})

/** Query of `GET /api/v1/admin/audit`. */
export const AuditQuery = z.object({
  appId: z.string().optional().describe('Only what was done to this app.'),
  limit: z
    .string()
    .regex(/^\d{1,4}$/, `must be a whole number from 1 to ${PAGE_ENTRIES_MAX}`)
    .transform(Number)
    .pipe(z.number().min(1).max(PAGE_ENTRIES_MAX, `must be at most ${PAGE_ENTRIES_MAX}`))
    .default(100)
    .meta({
      description: 'Entries on the page.',
      override: { type: 'integer', minimum: 1, maximum: PAGE_ENTRIES_MAX, default: 100 },
    }),
  cursor: z
    .string()
    .regex(/^\d{1,15}_[0-9a-f-]{36}$/, 'must be the nextCursor of the page before')
    .optional()
    .describe('`nextCursor` of the page before.'),
})

const Source = z
  .enum(['setting', 'files', 'development', 'code', 'store'])
  .describe('Where it is declared; only what is in the `store` can be changed here.')

const AppShape = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    createdAt: time,
    projectId: z.number().int().min(1),
    dsn: z.string().nullable().describe('For Sentry SDKs; null without an ingest-only key.'),
    source: Source,
    readOnly: z.boolean(),
    limits: AppOptions.limits.unwrap().nullable(),
    origins: AppOptions.origins.unwrap().nullable(),
    retentionDays: AppOptions.retentionDays.unwrap().nullable(),
    scrub: AppOptions.scrub.unwrap().nullable(),
  })
  .meta({ id: 'AdminApp' })

const KeyShape = z
  .strictObject({
    id: z.string(),
    appId: z.string().nullable().describe('Null: a key of all apps.'),
    name: z.string(),
    prefix: z.string(),
    lastFour: z.string(),
    scopes: z.array(z.enum(SCOPES)),
    status: z.enum(['live', 'expired', 'revoked']),
    source: Source,
    readOnly: z.boolean(),
    createdAt: time.nullable(),
    expiresAt: time.nullable(),
    revokedAt: time.nullable(),
    lastUsedAt: time.nullable().describe('To the hour.'),
    key: z.string().nullable().describe('The key itself where it can only ingest: that is public.'),
  })
  .meta({ id: 'AdminKey' })

/** Answer that holds one app. */
export const AppAnswer = z.strictObject({ success, app: AppShape })
/** Answer of `GET /api/v1/admin/apps`. */
export const AppsAnswer = z.strictObject({ success, apps: z.array(AppShape) })
/** Answer of `GET /api/v1/admin/keys`. */
export const KeysAnswer = z.strictObject({ success, keys: z.array(KeyShape) })
/** Answer of the revocation of a key. */
export const KeyAnswer = z.strictObject({ success, key: KeyShape })
/** Answer that tells a new key, once; `old` after a rotation. */
export const MadeKeyAnswer = z.strictObject({
  success,
  key: KeyShape,
  apiKey: z.string().describe('The key: it is told here and never again.'),
  old: KeyShape.optional(),
})
/** Answer of the deletion of a user's events, and of the question where it stands. */
export const DeletionAnswer = z.strictObject({
  success,
  deletion: z.strictObject({
    id: z.string().meta({ format: 'uuid' }),
    appId: z.string(),
    status: z.enum(['running', 'done']),
    requestedAt: time.describe('What was received until then goes.'),
    doneAt: time
      .nullable()
      .describe('When nothing was left that can be read or was on a disk of ClickHouse.'),
  }),
})
/** Answer of `GET /api/v1/admin/audit`. */
export const AuditAnswer = z.strictObject({
  success,
  entries: z
    .array(
      z.strictObject({
        id: z.string().meta({ format: 'uuid' }),
        at: time,
        actor: z.string().describe('As `key:ei_admin_Ab…wxyz`.'),
        address: z.string().describe('Where from; empty where that is not known.'),
        requestId: z.string(),
        action: z.string().describe('As `key.revoke`.'),
        appId: z.string().nullable(),
        target: z.string(),
        detail: z.record(z.string(), z.unknown()),
      }),
    )
    .describe('Newest first.'),
  nextCursor: z.string().nullable().describe('Null on the last page.'),
})
