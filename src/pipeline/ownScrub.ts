import type { Frame, Json, JsonObject, Occurrence } from '../occurrence.ts'
import { cutAddresses } from './addresses.ts'
import { globMatcher } from './globs.ts'
import type { NameKind } from './secretNames.ts'
import { SCRUBBED } from './secretPairs.ts'
import { scrubText } from './secrets.ts'

/** What an app removes beside the default rules; see app-setting.ts. */
export interface OwnRules {
  readonly globs: readonly string[]
  readonly truncateIp: boolean
}

type Stage = (occurrence: Occurrence) => Occurrence

interface Change {
  readonly ofText: (text: string) => string
  /** Whether the value goes that has this name, at the end of this path of names from its field. */
  readonly isSecret: (name: string, path: string) => boolean
  /** What is said of a field that was changed. */
  readonly mark: string
}

/** As deep as scrubbing itself looks. */
const DEPTH_MAX = 32
const NAMES_MAX = 2_048
const NAME_CHARS_MAX = 256

/**
 * A stage of an app's own, behind the default rules, which it cannot weaken. A glob is matched with
 * the names of fields, and, where it has a dot, with all names on the way to a value: `user.email`.
 * It also finds `name=value` in texts. Marks are `field:scrubbed`, and `field:anonymised` where an
 * address was cut.
 */
export function ownScrub({ globs, truncateIp }: OwnRules): Stage {
  const changes: Change[] = []
  if (globs.length > 0) changes.push(byGlobs(globs))
  if (truncateIp) changes.push({ ofText: cutAddresses, isSecret: () => false, mark: 'anonymised' })
  return (occurrence) => changes.reduce(changed, occurrence)
}

function byGlobs(globs: readonly string[]): Change {
  const names = remembered(globMatcher(globs))
  const paths = globMatcher(globs.filter((glob) => glob.includes('.')))
  const kindOf = (name: string): NameKind => (names(name) ? 'secret' : 'plain')
  return {
    ofText: (text) => scrubText(text, kindOf),
    isSecret: (name, path) => names(name) || (path !== name && paths(path)),
    mark: 'scrubbed',
  }
}

/** Names come again and again, globs are many. */
function remembered(matches: (name: string) => boolean): (name: string) => boolean {
  const known = new Map<string, boolean>()
  return (name) => {
    const before = known.get(name)
    if (before !== undefined) return before
    const isMatch = matches(name)
    if (name.length > NAME_CHARS_MAX) return isMatch
    if (known.size >= NAMES_MAX) known.clear()
    known.set(name, isMatch)
    return isMatch
  }
}

function changed(occurrence: Occurrence, change: Change): Occurrence {
  const { ofText } = change
  const { userId, parsedStack } = occurrence
  const ofValue = (value: Json) => ofJson(value, '', change, 0)
  const fields = {
    code: ofText(occurrence.code),
    message: ofText(occurrence.message),
    stackTrace: ofText(occurrence.stackTrace),
    parsedStack: parsedStack === undefined ? undefined : ofStack(parsedStack, ofText),
    userId: userId === null ? null : ofText(userId),
    metadata: ofObject(occurrence.metadata, '', change, 0),
    tags: ofTags(occurrence.tags, change),
    fingerprint: mapped(occurrence.fingerprint, ofText),
    breadcrumbs: mapped(occurrence.breadcrumbs, ofValue),
  }
  const marks = Object.entries(fields)
    .filter(([name, value]) => value !== Reflect.get(occurrence, name))
    .map(([name]) => `${name}:${change.mark}`)
  if (marks.length === 0) return occurrence
  return { ...occurrence, ...fields, marks: [...new Set([...occurrence.marks, ...marks])] }
}

function ofStack(
  stack: NonNullable<Occurrence['parsedStack']>,
  ofText: Change['ofText'],
): NonNullable<Occurrence['parsedStack']> {
  const raw = ofText(stack.raw)
  const frames = mapped(stack.frames, (frame) => ofFrame(frame, ofText))
  return raw === stack.raw && frames === stack.frames ? stack : { ...stack, raw, frames }
}

function ofFrame(frame: Frame, ofText: Change['ofText']): Frame {
  const raw = ofText(frame.raw)
  const fileName = frame.fileName === null ? null : ofText(frame.fileName)
  const { contextLine } = frame
  const line = contextLine === undefined ? undefined : ofText(contextLine)
  if (raw === frame.raw && fileName === frame.fileName && line === contextLine) return frame
  return { ...frame, raw, fileName, ...(line !== undefined && { contextLine: line }) }
}

function ofTags(
  tags: Readonly<Record<string, string>>,
  { ofText, isSecret }: Change,
): Readonly<Record<string, string>> {
  const after = Object.entries(tags).map(([name, text]): [string, string] => [
    name,
    text !== '' && isSecret(name, name) ? SCRUBBED : ofText(text),
  ])
  return after.every(([name, text]) => tags[name] === text) ? tags : Object.fromEntries(after)
}

function ofJson(value: Json, path: string, change: Change, depth: number): Json {
  if (typeof value === 'string') return change.ofText(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= DEPTH_MAX) return SCRUBBED
  if (isList(value)) return mapped(value, (item) => ofJson(item, path, change, depth + 1))
  return ofObject(value, path, change, depth)
}

function ofObject(object: JsonObject, path: string, change: Change, depth: number): JsonObject {
  const after = Object.entries(object).map(([name, value]): [string, Json] => {
    const own = path === '' ? name : `${path}.${name}`
    const isEmpty = value === null || value === '' || typeof value === 'boolean'
    const kept =
      !isEmpty && change.isSecret(name, own) ? SCRUBBED : ofJson(value, own, change, depth + 1)
    return [name, kept]
  })
  return after.every(([name, kept]) => object[name] === kept) ? object : Object.fromEntries(after)
}

function isList(value: readonly Json[] | JsonObject): value is readonly Json[] {
  return Array.isArray(value)
}

/** The same list where nothing changed. */
function mapped<T>(list: readonly T[], change: (item: T) => T): readonly T[] {
  const after = list.map(change)
  return after.every((item, at) => item === list[at]) ? list : after
}
