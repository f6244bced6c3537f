import type { Context } from 'hono'
import type { z } from 'zod'
import { Refusal } from '../refusal.ts'
import type { Body } from './body.ts'

/** As `readBody` of http/body.ts; `env` is Hono's `c.env`. @throws Refusal */
export type ReadBody = (request: Request, env: unknown) => Promise<Body>

/**
 * Runs `act` on the checked body of a request, and holds the body's room until that has ended.
 * @throws Refusal as `readBody`, and `malformed` naming the field.
 */
export async function withJsonBody<Schema extends z.ZodType>(
  readBody: ReadBody,
  c: Context,
  schema: Schema,
  act: (given: z.output<Schema>) => Promise<Response>,
): Promise<Response> {
  const body = await readBody(c.req.raw, c.env)
  try {
    return await act(parseBody(schema, body.bytes))
  } finally {
    body.release()
  }
}

function parseBody<Schema extends z.ZodType>(schema: Schema, body: Uint8Array): z.output<Schema> {
  const parsed = schema.safeParse(parseJson(body))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = issue?.path.join('.') ?? ''
  const message =
    issue?.code === 'unrecognized_keys'
      ? `has fields that are not known: ${issue.keys.join(', ')}`
      : (issue?.message ?? 'is not valid')
  throw new Refusal('malformed', `${field || 'The body'} ${message}.`)
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (cause) {
    throw new Refusal('malformed', 'The body must be JSON in UTF-8.', { cause })
  }
}
