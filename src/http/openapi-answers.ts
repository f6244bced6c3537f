import { z } from 'zod'

/** How the API says no. */
export const ProblemAnswer = z
  .object({
    success: z.literal(false),
    error: z.string().describe('One sentence: what is wrong and what would be right.'),
  })
  .meta({ id: 'Problem' })

/** The refusals that several operations share, by status: components of the document. */
export const REFUSALS = {
  400: ['Malformed', 'A field or parameter is wrong; `error` names it.'],
  401: ['Unauthenticated', 'No API key, or one that is not known.'],
  403: ['Forbidden', 'The API key is revoked, has expired, lacks the scope, or is of another app.'],
  404: ['NotFound', 'There is no such thing, or not for this key.'],
  408: ['Timeout', 'The request did not arrive completely in time.'],
  409: ['Conflict', 'It is so already, or declared where this API cannot change it.'],
  413: ['TooLarge', 'The body is too large, as sent or decompressed.'],
  415: ['UnsupportedEncoding', 'The Content-Encoding is not known here.'],
  429: ['RateLimited', 'Too much at once; `Retry-After` says when to go on.'],
  500: ['Bug', 'A bug of ours; `X-Request-Id` helps to find it.'],
  503: ['Overloaded', 'Not possible at the moment; `Retry-After` says when to try again.'],
} as const

/** A status of {@link REFUSALS}. */
export type RefusalStatus = keyof typeof REFUSALS

/** Refusals that every question can meet. */
export const READ = [408, 500] as const
/** Refusals that every upload can meet. */
export const WRITE = [400, 401, 403, 408, 413, 415, 429, 500, 503] as const

/** References to the shared refusals. */
export function refusals(...statuses: readonly RefusalStatus[]) {
  return Object.fromEntries(
    statuses.map((status) => [
      `${status}` as const,
      { $ref: `#/components/responses/${REFUSALS[status][0]}` },
    ]),
  )
}

/** A JSON answer. */
export function json(description: string, schema: z.ZodType) {
  return { description, content: { 'application/json': { schema } } }
}

/** An HTML answer. */
export function page(description: string) {
  return { description, content: { 'text/html': { schema: z.string() } } }
}

/** What an operation says that needs a key with `scope`. */
export const keyed = (scope: string) => ({
  description: `Needs an API key with the scope \`${scope}\`.`,
  security: [{ apiKey: [] }, { bearer: [] }],
})
