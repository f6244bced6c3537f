import { z } from 'zod'
import { LEVELS, PLATFORMS, STACK_PARSERS } from '../occurrence.ts'
import { OUTCOMES } from '../outcome.ts'
import {
  CodesQuery,
  ErrorQuery,
  ErrorsQuery,
  IssuesQuery,
  LedgerQuery,
  TrendsQuery,
} from './query.ts'

const nullableText = z.string().nullable()
const nullableNumber = z.number().nullable()
const time = z.string().meta({ format: 'date-time' })
const count = z.number().int().min(0)
const success = z.literal(true)

const FrameAnswer = z
  .strictObject({
    functionName: nullableText,
    fileName: nullableText,
    lineNumber: nullableNumber,
    columnNumber: nullableNumber,
    inApp: z.boolean(),
    raw: z.string(),
    originalFileName: nullableText.optional(),
    originalLineNumber: nullableNumber.optional(),
    originalColumnNumber: nullableNumber.optional(),
    originalFunctionName: nullableText.optional(),
    resolved: z.boolean().optional(),
    contextLine: z.string().optional(),
  })
  .meta({ id: 'Frame', description: 'One call of a stack.' })

/** An event as it is answered. */
const EventAnswer = z
  .strictObject({
    id: z.string().meta({ format: 'uuid' }),
    code: z.string(),
    message: z.string(),
    stackTrace: z.string(),
    parsedStack: z
      .strictObject({
        frames: z.array(FrameAnswer),
        raw: z.string(),
        parser: z.enum(STACK_PARSERS),
      })
      .nullable(),
    appId: z.string(),
    appVersion: z.string(),
    platform: z.enum(PLATFORMS),
    platformVersion: z.string(),
    environment: z.string(),
    level: z.enum(LEVELS),
    userId: nullableText,
    timestamp: time,
    receivedAt: time,
    originalTimestamp: time.nullable(),
    metadata: z.record(z.string(), z.unknown()),
    tags: z.record(z.string(), z.string()),
    fingerprint: z.array(z.string()),
    breadcrumbs: z.array(z.unknown()),
    traceId: z.string(),
    spanId: z.string(),
    marks: z.array(z.string()).describe('What was cut or scrubbed, as `message:cut`.'),
    issue: z.string().describe('The issue it belongs to.'),
  })
  .meta({ id: 'StoredEvent', description: 'An event as it is stored.' })

const NextCursor = z
  .string()
  .nullable()
  .optional()
  .describe('Only when asked with `cursor`; null on the last page.')

/** Answer of `GET /dashboard/api/errors`. */
const ErrorsAnswer = z.strictObject({
  success,
  errors: z.array(EventAnswer).describe('Newest first, ties by id.'),
  pagination: z.strictObject({
    limit: count,
    offset: count,
    hasMore: z.boolean().describe('Exact.'),
    nextCursor: NextCursor,
  }),
  nextCursor: NextCursor,
})

/** Answer of `GET /dashboard/api/errors/{id}`. */
const ErrorAnswer = z.strictObject({ success, error: EventAnswer })

/** Answer of `GET /dashboard/api/trends`. */
const TrendsAnswer = z.strictObject({
  success,
  trends: z
    .array(
      z.strictObject({
        time: time.describe('Start of the bucket in UTC.'),
        count,
        uniqueCodes: count,
        affectedUsers: count,
      }),
    )
    .describe('Oldest first.'),
})

/** Answer of `GET /dashboard/api/codes`. */
const CodesAnswer = z.strictObject({
  success,
  codes: z.array(z.strictObject({ code: z.string(), count })).describe('Most frequent first.'),
})

/** Answer of `GET /dashboard/api/issues`. */
const IssuesAnswer = z.strictObject({
  success,
  issues: z
    .array(
      z.strictObject({
        issue: z.string(),
        code: z.string().describe('Of its newest event in the range.'),
        count,
        firstSeen: time.describe('First event in the range.'),
        lastSeen: time.describe('Last event in the range.'),
      }),
    )
    .describe('Most frequent first.'),
})

/** Answer of `GET /dashboard/api/ledger`. */
const LedgerAnswer = z.strictObject({
  success,
  totals: z.strictObject({
    received: count.describe('The sum of the others: all that ended in the range.'),
    ...{ stored: count, duplicate: count, dropped: count, refused: count, undeliverable: count },
    lost: count.describe('Accepted, and not found again on the disk.'),
  }),
  ledger: z
    .array(
      z.strictObject({
        time: time.describe('Start of the bucket in UTC.'),
        protocol: z.string().describe('Empty where nobody knows.'),
        outcome: z.enum(OUTCOMES),
        reason: z.string().describe('Of what was refused or dropped, else empty.'),
        count,
      }),
    )
    .describe('By bucket, protocol, outcome and reason, oldest first.'),
  unsent: z
    .array(
      z.strictObject({
        time,
        protocol: z.string(),
        category: z.string(),
        reason: z.string(),
        count,
      }),
    )
    .describe('What SDKs say they dropped before they sent it; in no total.'),
})

/** Answer of `GET /dashboard/api/apps`. */
const AppsAnswer = z.strictObject({
  success,
  apps: z.array(
    z.strictObject({
      id: z.string(),
      name: z.string(),
      createdAt: time,
      projectId: z.number().int().min(1),
      dsn: z.string().nullable().describe('For Sentry SDKs; null without an ingest-only key.'),
    }),
  ),
})

/** The schemas that the OpenAPI document needs: what validates is what is documented. */
export const dashboardSchemas = {
  errorsQuery: ErrorsQuery,
  errorQuery: ErrorQuery,
  trendsQuery: TrendsQuery,
  codesQuery: CodesQuery,
  issuesQuery: IssuesQuery,
  ledgerQuery: LedgerQuery,
  errorsAnswer: ErrorsAnswer,
  errorAnswer: ErrorAnswer,
  trendsAnswer: TrendsAnswer,
  codesAnswer: CodesAnswer,
  issuesAnswer: IssuesAnswer,
  ledgerAnswer: LedgerAnswer,
  appsAnswer: AppsAnswer,
} as const
