import { z } from 'zod'
import { LEVELS, LIMITS, PLATFORMS, STACK_PARSERS } from '../../occurrence.ts'
import { parseTimestamp } from './timestamp.ts'

/** A UUID of any version, in either case. */
const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i

const TIMESTAMP_RULE =
  'an ISO 8601 date and time with zone, 1970 or later, such as 2024-01-15T10:30:00.000Z'

/** The second half of a sentence that begins with the field's name. */
function must(rule: string) {
  return ({ input }: { readonly input?: unknown }): string =>
    input === undefined ? `is missing: it must be ${rule}` : `must be ${rule}`
}

function text(rule = 'a string') {
  return z.string({ error: must(rule) })
}

const nullableText = z.string({ error: must('a string or null') }).nullable()
const nullableNumber = z.number({ error: must('a number or null') }).nullable()

/** One call of a stack. What is absent counts as unknown. */
const NativeFrame = z.object(
  {
    functionName: nullableText.default(null),
    fileName: nullableText.default(null),
    lineNumber: nullableNumber.default(null).meta({ description: 'From 1.' }),
    columnNumber: nullableNumber.default(null).meta({ description: 'From 1.' }),
    inApp: z
      .boolean({ error: must('true or false') })
      .default(true)
      .meta({ description: "Whether this is the app's own code." }),
    raw: text().default('').meta({ description: 'The line as the runtime wrote it.' }),
  },
  { error: must('an object') },
)

const NativeStack = z.object(
  {
    frames: z.array(NativeFrame, { error: must('an array of frames') }).meta({
      description: `Newest call first. Of more than ${LIMITS.framesMax}, both ends are kept.`,
    }),
    raw: text().default(''),
    parser: z.enum(STACK_PARSERS, { error: must(oneOf(STACK_PARSERS)) }).default('unknown'),
  },
  { error: must('an object with `frames`, or null') },
)

/** Not a record of zod's, which drops a tag named `__proto__`. */
const NativeTags = z
  .unknown()
  .refine(isObject, { error: 'must be an object of strings', abort: true })
  .superRefine((tags, context) => {
    if (typeof tags !== 'object' || tags === null) return
    for (const [name, value] of Object.entries(tags)) {
      if (typeof value === 'string') continue
      context.addIssue({ code: 'custom', message: 'must be a string', path: [name] })
    }
  })

/**
 * One event of `POST /api/v1/ingest`: the one source of truth of what is valid.
 * Unknown fields are ignored. What is too long is valid here and cut afterwards; `code` is not.
 */
export const NativeEvent = z.object(
  {
    id: text('a UUID').regex(UUID, { error: 'must be a UUID' }).meta({
      format: 'uuid',
      description: 'The idempotency key within the app, in either case.',
    }),
    code: text('a string of 1 to 200 characters')
      .min(1, { error: 'must be a string of 1 to 200 characters' })
      .refine(isCodeShort, { error: 'must be a string of 1 to 200 characters' })
      .meta({ maxLength: LIMITS.codeCharsMax, examples: ['network/request-failed'] }),
    message: text().meta({ description: 'Kept up to 8 KiB.' }),
    stackTrace: text().default('').meta({ description: 'Kept up to 64 KiB, both ends.' }),
    parsedStack: NativeStack.nullish(),
    appId: text().meta({ description: 'Must be the app of the key.' }),
    appVersion: text().meta({ description: 'May be empty.' }),
    platform: z.enum(PLATFORMS, { error: must(oneOf(PLATFORMS)) }),
    platformVersion: text().meta({ description: 'May be empty.' }),
    environment: text().default('production'),
    level: z.enum(LEVELS, { error: must(oneOf(LEVELS)) }).default('error'),
    userId: nullableText.optional(),
    timestamp: text(TIMESTAMP_RULE)
      .refine((value) => parseTimestamp(value) !== undefined, {
        error: `must be ${TIMESTAMP_RULE}`,
      })
      .meta({
        format: 'date-time',
        description: 'Over one hour ahead, the time of receipt is used and this one kept besides.',
      }),
    metadata: z
      .unknown()
      .refine(isObject, { error: 'must be an object' })
      .optional()
      .meta({ type: 'object', description: 'Kept up to 64 KiB and a depth of 16.' }),
    tags: NativeTags.optional().meta({
      type: 'object',
      additionalProperties: { type: 'string' },
      description: 'The first 100 are kept.',
    }),
    fingerprint: z
      .array(text(), { error: must('an array of strings') })
      .optional()
      .meta({ description: 'Groups by these; `{{ default }}` stands for the computed one.' }),
    breadcrumbs: z
      .array(z.unknown(), { error: must('an array') })
      .optional()
      .meta({ description: 'Oldest first; the newest 100 are kept.' }),
  },
  { error: must('an object') },
)

/** An event that is valid, before anything is cut. */
export type NativeEvent = z.infer<typeof NativeEvent>

/** The body of `POST /api/v1/ingest`, for the OpenAPI document; `decode` checks it event by event. */
export const NativeBatch = z.object({
  events: z.array(NativeEvent).min(1).meta({ description: 'Up to 1,000 unless configured.' }),
})

/** What is wrong with an event, as one sentence that names each field; the first three problems. */
export function sentenceOf(error: z.ZodError): string {
  const problems = error.issues.slice(0, 3).map((issue) => `${nameOf(issue.path)} ${issue.message}`)
  const more = error.issues.length - problems.length
  return `${problems.join('; ')}${more > 0 ? `; and ${more} more problems` : ''}.`
}

/** Longest name of a client's own (a tag) that an answer repeats. */
const NAME_CHARS_MAX = 100

function nameOf(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'The event'
  let name = ''
  for (const step of path) {
    if (typeof step === 'number') name += `[${step}]`
    else name += name === '' ? String(step) : `.${String(step)}`
  }
  return name.length > NAME_CHARS_MAX ? `${name.slice(0, NAME_CHARS_MAX).toWellFormed()}…` : name
}

function oneOf(values: readonly string[]): string {
  return `one of ${values.join(', ')}`
}

/** Characters are code points; a string never has more of them than UTF-16 units. */
function isCodeShort(code: string): boolean {
  const max = LIMITS.codeCharsMax
  return code.length <= max || (code.length <= 2 * max && Array.from(code).length <= max)
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
