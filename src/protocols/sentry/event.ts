import { LEVELS } from '../../occurrence.ts'
import type { Json, JsonObject, Level, Occurrence } from '../../occurrence.ts'
import { hexOf, uuidOf } from '../derive.ts'
import { isObject, listOf, objectOf, present, textOf, timeOf } from '../json.ts'
import { settleTime, withinLimits } from '../limits.ts'
import { platformOf } from './platform.ts'
import { renderStack } from './render.ts'
import { chainOf, parsedStackOf, threadFrames } from './stack.ts'
import type { Thrown } from './stack.ts'

/** What every item of one request shares. */
export interface Origin {
  readonly appId: string
  readonly receivedAtMs: number
  /** What to add to a time of the client's clock to have it by ours; 0 where its clock is right. */
  readonly driftMs: number
}

// Below a minute the way through the network explains it; then the client's own time is the better one.
const DRIFT_MS_MIN = 60_000

/** How far the client's clock is off, from the moment at which it says it sent the envelope. */
export function driftOf(sentAt: Json | undefined, receivedAtMs: number): number {
  const sentAtMs = timeOf(sentAt)
  const drift = sentAtMs === undefined ? 0 : receivedAtMs - sentAtMs
  return Math.abs(drift) < DRIFT_MS_MIN ? 0 : drift
}

/**
 * One event, as `store` takes it and as an envelope carries it. `id` is the envelope's word for it and wins
 * over the event's own. What has the wrong type counts as absent; never throws.
 * @see https://develop.sentry.dev/sdk/foundations/data-model/event-payloads/
 */
export function occurrenceOf(
  event: JsonObject,
  id: string | undefined,
  origin: Origin,
): Occurrence {
  const { platform, platformVersion } = platformOf(event)
  const sdk = textOf(objectOf(event['sdk'])?.['name'])?.toLowerCase() ?? ''
  const chain = withThread(chainOf(event, platform), event, platform)
  const thrown = chain[0]
  const message = messageOf(event)
  const frames = chain.find((each) => each.frames.length > 0)?.frames ?? []
  const stackTrace = frames.length === 0 && chain.length < 2 ? '' : renderStack(chain, platform)
  const trace = objectOf(objectOf(event['contexts'])?.['trace'])
  const time = timed(event['timestamp'], origin)
  return withinLimits({
    id: uuidOf(id) ?? uuidOf(textOf(event['event_id'])) ?? crypto.randomUUID(),
    appId: origin.appId,
    protocol: 'sentry',
    code: thrown?.type ?? textOf(event['logger']) ?? 'message',
    message: thrown?.value ?? message ?? thrown?.type ?? '',
    stackTrace,
    parsedStack: parsedStackOf(frames, stackTrace, platform, sdk),
    appVersion: textOf(event['release']) ?? '',
    platform,
    platformVersion,
    environment: textOf(event['environment']) ?? 'production',
    level: levelOf(event['level']) ?? 'error',
    userId: userOf(objectOf(event['user'])),
    ...time.kept,
    receivedAtMs: origin.receivedAtMs,
    metadata: metadataOf(event, chain, message),
    tags: tagsOf(event['tags']),
    fingerprint: listOf(event['fingerprint']).flatMap((part) => textOf(part) ?? []),
    breadcrumbs: breadcrumbsOf(event['breadcrumbs']),
    traceId: hexOf(textOf(trace?.['trace_id']), 32),
    spanId: hexOf(textOf(trace?.['span_id']), 16),
    marks: [
      ...time.marks,
      ...(chain.some((each) => each.framesLost > 0) ? ['parsedStack:cut'] : []),
    ],
  })
}

/** The time of an item by our clock, and the mark that says where it was set right. */
export function timed(
  timestamp: Json | undefined,
  { receivedAtMs, driftMs }: Origin,
): { readonly kept: ReturnType<typeof settleTime>; readonly marks: readonly string[] } {
  const claimed = timeOf(timestamp)
  const corrected = claimed === undefined ? undefined : Math.max(0, claimed + driftMs)
  return {
    kept: settleTime(corrected, receivedAtMs),
    marks: claimed === corrected ? [] : ['timestamp:corrected'],
  }
}

/** Sentry's levels are ours, and some clients have a word more. */
export function levelOf(level: Json | undefined): Level | undefined {
  const name = textOf(level)?.toLowerCase()
  if (name === 'warn') return 'warning'
  if (name === 'critical') return 'fatal'
  if (name === 'log' || name === 'trace') return 'debug'
  return LEVELS.find((each) => each === name)
}

/** The part of a user that tells one from another. */
function userOf(user: JsonObject | undefined): string | null {
  return textOf(user?.['id']) ?? textOf(user?.['username']) ?? textOf(user?.['email']) ?? null
}

/** Tags, sent as a map or as pairs. */
function tagsOf(tags: Json | undefined): Readonly<Record<string, string>> {
  if (isObject(tags) && arePlain(tags)) return tags
  const pairs = isObject(tags) ? Object.entries(tags) : listOf(tags).map(pairOf)
  const kept: [string, string][] = []
  for (const [name, value] of pairs) {
    const text = textOf(value)
    if (name !== '' && text !== undefined) kept.push([name, text])
  }
  return Object.fromEntries(kept)
}

/** Whether tags are what nearly all clients send: named texts, none of them empty. */
function arePlain(tags: JsonObject): tags is Readonly<Record<string, string>> {
  for (const name in tags) {
    const value = tags[name]
    if (name === '' || typeof value !== 'string' || value === '') return false
  }
  return true
}

function pairOf(pair: Json): [string, Json | undefined] {
  if (isObject(pair)) return [textOf(pair['key']) ?? '', pair['value']]
  const [name, value] = listOf(pair)
  return [textOf(name) ?? '', value]
}

/** A message event's text: what was formatted, else the template with its parameters in it. */
function messageOf(event: JsonObject): string | undefined {
  const entry = objectOf(event['logentry']) ?? objectOf(event['message'])
  if (entry === undefined) return textOf(event['message'])
  const formatted = textOf(entry['formatted'])
  const template = textOf(entry['message'])
  if (formatted !== undefined || template === undefined)
    return formatted ?? textOf(event['message'])
  const params = listOf(entry['params'])
  let at = 0
  return template.replace(/%[sd]|\{\}/g, (placeholder) => textOf(params[at++]) ?? placeholder)
}

function breadcrumbsOf(breadcrumbs: Json | undefined): readonly Json[] {
  const list = isObject(breadcrumbs) ? breadcrumbs['values'] : breadcrumbs
  const all = listOf(list)
  return all.every(isObject) ? all : all.filter(isObject)
}

/** Messages, and exceptions of some clients, carry their stack under the thread that reported them. */
function withThread(
  chain: readonly Thrown[],
  event: JsonObject,
  platform: Occurrence['platform'],
): readonly Thrown[] {
  if (chain.some(({ frames }) => frames.length > 0)) return chain
  const thread = threadFrames(event, platform)
  if (thread.frames.length === 0) return chain
  const [first, ...causes] = chain
  const bare = { type: undefined, value: messageOf(event), module: undefined, mechanism: undefined }
  return [{ ...(first ?? bare), ...thread }, ...causes]
}

// Most telling first: where there is too much, the end is cut.
const KEPT = [
  'transaction',
  'logger',
  'server_name',
  'dist',
  'user',
  'request',
  'extra',
  'contexts',
  'sdk',
  'debug_meta',
  'modules',
] as const

function metadataOf(
  event: JsonObject,
  chain: readonly Thrown[],
  message: string | undefined,
): JsonObject {
  const hasException = chain.some(
    ({ type, mechanism }) => type !== undefined || mechanism !== undefined,
  )
  const fields: Record<string, Json | undefined> = {}
  if (hasException) {
    // The message stands beside the exception only where an event has both.
    fields['message'] = message === chain[0]?.value ? undefined : message
    fields['exceptions'] = chain.map(({ type, value, module, mechanism }) =>
      present({ type, value, module, mechanism }),
    )
  }
  for (const name of KEPT) {
    const value = name === 'user' ? userRest(objectOf(event['user'])) : event[name]
    if (value !== undefined && !isEmpty(value)) fields[name] = value
  }
  return present(fields)
}

function userRest(user: JsonObject | undefined): JsonObject | undefined {
  if (user === undefined) return undefined
  const rest = Object.entries(user).filter(
    // `{{auto}}` asks the server to take the sender's address, which we do not.
    ([name, value]) => name !== 'id' && !(name === 'ip_address' && value === '{{auto}}'),
  )
  return Object.fromEntries(rest)
}

function isEmpty(value: Json): boolean {
  return value === null || value === '' || (isObject(value) && Object.keys(value).length === 0)
}
