import { LEVELS, PLATFORMS, STACK_PARSERS } from '../occurrence.ts'
import type { Frame, Grouping, Json, JsonObject, Occurrence, ParsedStack } from '../occurrence.ts'
import { isShared } from '../same-frames.ts'
import {
  beginWriting,
  readForJson,
  readNullableString,
  readNullableTime,
  readString,
  readStringMap,
  readStrings,
  readTime,
  readUuid,
  writeNullableString,
  writeNullableTime,
  writeString,
  writeStringMap,
  writeStrings,
  writeTime,
  writeUuid,
  written,
  writtenBytes,
} from './rowbinary.ts'
import type { ColumnType, Cursor } from './rowbinary.ts'

/** A column of the table of occurrences and its ClickHouse type. */
export interface Column {
  readonly name: string
  readonly type: ColumnType
}

/** The table all rows go to. */
const OCCURRENCES_TABLE = 'occurrences'

/** The version that {@link encodeRows} writes: a key of {@link ROW_FORMATS}. */
export const ROW_FORMAT = 1

/**
 * Which columns a spooled row holds, in which order, by version. A version is never changed once
 * released, because rows of it may wait on a disk; a new column is a new version. The first six are
 * the same in all: {@link rowIdentity} reads them.
 */
export const ROW_FORMATS: Readonly<Record<number, readonly Column[]>> = {
  1: [
    { name: 'id', type: 'UUID' },
    { name: 'app_id', type: 'LowCardinality(String)' },
    { name: 'timestamp', type: 'DateTime64(3)' },
    { name: 'received_at', type: 'DateTime64(3)' },
    { name: 'original_timestamp', type: 'Nullable(DateTime64(3))' },
    { name: 'protocol', type: 'LowCardinality(String)' },
    { name: 'code', type: 'LowCardinality(String)' },
    { name: 'message', type: 'String' },
    { name: 'stack_trace', type: 'String' },
    { name: 'parsed_stack', type: 'String' },
    { name: 'app_version', type: 'LowCardinality(String)' },
    { name: 'platform', type: 'LowCardinality(String)' },
    { name: 'platform_version', type: 'LowCardinality(String)' },
    { name: 'environment', type: 'LowCardinality(String)' },
    { name: 'level', type: 'LowCardinality(String)' },
    { name: 'user_id', type: 'Nullable(String)' },
    { name: 'metadata', type: 'String' },
    { name: 'tags', type: 'Map(String, String)' },
    { name: 'client_fingerprint', type: 'Array(String)' },
    { name: 'breadcrumbs', type: 'String' },
    { name: 'trace_id', type: 'String' },
    { name: 'span_id', type: 'String' },
    { name: 'marks', type: 'Array(String)' },
    { name: 'fingerprint', type: 'LowCardinality(String)' },
    { name: 'fingerprint_secondary', type: 'LowCardinality(String)' },
    { name: 'fingerprint_basis', type: 'LowCardinality(String)' },
  ],
}

/** The columns of an uploaded source map. */
export const SOURCE_MAP_COLUMNS: readonly Column[] = [
  { name: 'app_id', type: 'LowCardinality(String)' },
  { name: 'app_version', type: 'LowCardinality(String)' },
  { name: 'file_name', type: 'String' },
  { name: 'content', type: 'String' },
]

/**
 * Where a block of rows goes, each as {@link encodeRows} made it.
 * @throws RangeError for a format this version does not know.
 */
export function blockTarget(format: number): {
  readonly table: string
  readonly columns: readonly string[]
} {
  const columns = columnsOf(format).map(({ name }) => name)
  return { table: OCCURRENCES_TABLE, columns }
}

function columnsOf(format: number): readonly Column[] {
  const columns = ROW_FORMATS[format]
  if (columns === undefined) {
    throw new RangeError(`Rows of format ${String(format)} were written by a newer version.`)
  }
  return columns
}

/**
 * Encodes occurrences as RowBinary rows of {@link ROW_FORMAT}, each with its grouping.
 * Lone surrogates become U+FFFD, in texts and in JSON; all else comes back as it was.
 * @throws RangeError when an id is no UUID.
 */
export function encodeRows(
  occurrences: readonly Occurrence[],
  group: (occurrence: Occurrence) => Grouping,
): {
  readonly format: number
  readonly bytes: Uint8Array
  readonly ends: readonly number[]
} {
  const ends: number[] = []
  const groupings = occurrences.map(group) // Before the writing: only one may write at a time.
  beginWriting()
  for (const [i, occurrence] of occurrences.entries()) {
    writeRow(occurrence)
    writeGrouping(groupings[i])
    ends.push(writtenBytes())
  }
  return { format: ROW_FORMAT, bytes: written(), ends }
}

function writeRow(occurrence: Occurrence): void {
  writeUuid(occurrence.id)
  writeString(occurrence.appId)
  writeTime(occurrence.timestampMs)
  writeTime(occurrence.receivedAtMs)
  writeNullableTime(occurrence.originalTimestampMs)
  writeString(occurrence.protocol)
  writeString(occurrence.code)
  writeString(occurrence.message)
  writeString(occurrence.stackTrace)
  writeString(stackJson(occurrence))
  writeString(occurrence.appVersion)
  writeString(occurrence.platform)
  writeString(occurrence.platformVersion)
  writeString(occurrence.environment)
  writeString(occurrence.level)
  writeNullableString(occurrence.userId)
  writeString(wellFormed(JSON.stringify(occurrence.metadata)))
  writeStringMap(occurrence.tags)
  writeStrings(occurrence.fingerprint)
  writeString(
    occurrence.breadcrumbs.length === 0 ? '[]' : wellFormed(JSON.stringify(occurrence.breadcrumbs)),
  )
  writeString(occurrence.traceId)
  writeString(occurrence.spanId)
  writeStrings(occurrence.marks)
}

/** Clients send the same text as `stackTrace` and as `raw`; it is kept once. */
function stackJson({ parsedStack, stackTrace }: Occurrence): string {
  if (parsedStack === undefined) return ''
  const { frames, parser, raw } = parsedStack
  const own = `{"parser":"${parser}","frames":${framesJson(frames)}`
  return raw === stackTrace ? `${own}}` : `${own},"raw":${wellFormed(JSON.stringify(raw))}}`
}

/** Of the process: the texts of stacks that come again. */
const FRAMES_JSON = new WeakMap<readonly Frame[], string>()

function framesJson(frames: readonly Frame[]): string {
  const known = FRAMES_JSON.get(frames)
  if (known !== undefined) return known
  const json = wellFormed(JSON.stringify(frames))
  if (isShared(frames)) FRAMES_JSON.set(frames, json)
  return json
}

/** JSON.stringify escapes a lone surrogate, which would bring it back to life at the next parse. */
function wellFormed(json: string): string {
  if (!json.includes('\\ud')) return json
  return json.replace(/\\(?:ud[89a-f][0-9a-f]{2}|.)/g, (escape) =>
    escape.startsWith('\\ud') ? '\ufffd' : escape,
  )
}

function writeGrouping(grouping: Grouping | undefined): void {
  writeString(grouping?.fingerprint ?? '')
  writeString(grouping?.secondary ?? '')
  writeString(grouping?.basis ?? '')
}

/** What tells a row from others, without reading all of it. */
export interface RowIdentity {
  readonly id: string
  readonly appId: string
  readonly timestampMs: number
  readonly receivedAtMs: number
  readonly protocol: string
}

/**
 * Reads the head of the row that starts at `start`, of any format.
 * @throws RangeError when the bytes end too early.
 */
export function rowIdentity(format: number, bytes: Uint8Array, start: number): RowIdentity {
  columnsOf(format)
  const cursor = { bytes, at: start }
  const id = readUuid(cursor)
  const appId = readString(cursor)
  const timestampMs = readTime(cursor)
  const receivedAtMs = readTime(cursor)
  readNullableTime(cursor)
  return { id, appId, timestampMs, receivedAtMs, protocol: readString(cursor) }
}

/** The identities of all rows of a batch, in order. */
export function identify(batch: {
  readonly format: number
  readonly bytes: Uint8Array
  readonly ends: readonly number[]
}): readonly RowIdentity[] {
  return batch.ends.map((_, i) => rowIdentity(batch.format, batch.bytes, batch.ends[i - 1] ?? 0))
}

/**
 * The occurrence whose row starts at `start`: the inverse of {@link encodeRows},
 * but for the grouping.
 * @throws RangeError when the bytes are no row of the format.
 */
export function decodeRow(format: number, bytes: Uint8Array, start: number): Occurrence {
  columnsOf(format)
  const cursor: Cursor = { bytes, at: start }
  const id = readUuid(cursor)
  const appId = readString(cursor)
  const timestampMs = readTime(cursor)
  const receivedAtMs = readTime(cursor)
  const originalTimestampMs = readNullableTime(cursor)
  const protocol = readString(cursor)
  const code = readString(cursor)
  const message = readString(cursor)
  const stackTrace = readString(cursor)
  const occurrence: Occurrence = {
    id,
    appId,
    timestampMs,
    receivedAtMs,
    originalTimestampMs,
    protocol,
    code,
    message,
    stackTrace,
    parsedStack: parseStack(readString(cursor), stackTrace),
    appVersion: readString(cursor),
    platform: oneOf(PLATFORMS, readString(cursor)),
    platformVersion: readString(cursor),
    environment: readString(cursor),
    level: oneOf(LEVELS, readString(cursor)),
    userId: readNullableString(cursor),
    metadata: parseObject(readString(cursor)),
    tags: readStringMap(cursor),
    fingerprint: readStrings(cursor),
    breadcrumbs: parseArray(readString(cursor)),
    traceId: readString(cursor),
    spanId: readString(cursor),
    marks: readStrings(cursor),
  }
  // The grouping: made again where the row is changed, but it must be there.
  for (let column = 0; column < 3; column += 1) readString(cursor)
  return occurrence
}

/**
 * Rows of the named columns as objects that JSONEachRow takes, for a client that cannot send bytes.
 * @throws RangeError when a column is unknown or the bytes are no such rows.
 */
export function rowsToObjects(
  columns: readonly string[],
  body: readonly Uint8Array[],
): readonly Readonly<Record<string, unknown>>[] {
  const known = [...Object.values(ROW_FORMATS).flat(), ...SOURCE_MAP_COLUMNS]
  const types = columns.map((name) => {
    const column = known.find((candidate) => candidate.name === name)
    if (column === undefined) throw new RangeError(`The column ${name} is unknown.`)
    return column
  })
  const cursor: Cursor = { bytes: joined(body), at: 0 }
  const rows: Record<string, unknown>[] = []
  while (cursor.at < cursor.bytes.length) {
    rows.push(Object.fromEntries(types.map(({ name, type }) => [name, readForJson(cursor, type)])))
  }
  return rows
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

function oneOf<T extends string>(allowed: readonly T[], text: string): T {
  const found = allowed.find((candidate) => candidate === text)
  if (found === undefined) throw new RangeError('A row holds a word that is not of its list.')
  return found
}

/** A `parsed_stack` as it is stored; undefined for an empty one. */
export function parseStack(json: string, stackTrace: string): ParsedStack | undefined {
  if (json === '') return undefined
  const parsed: unknown = JSON.parse(json)
  if (!isStoredStack(parsed)) throw new RangeError('A parsed stack is not as it was written.')
  return { frames: parsed.frames, raw: parsed.raw ?? stackTrace, parser: parsed.parser }
}

/** JSON that we wrote ourselves from typed values: its outline is enough to trust the rest. */
function isStoredStack(value: unknown): value is Omit<ParsedStack, 'raw'> & { raw?: string } {
  if (!isObject(value)) return false
  const parser = value['parser']
  return Array.isArray(value['frames']) && STACK_PARSERS.some((name) => name === parser)
}

/** Whether a parsed JSON value is an object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether a parsed JSON value is an array. */
export function isArray(value: unknown): value is readonly Json[] {
  return Array.isArray(value)
}

function parseObject(json: string): JsonObject {
  const parsed: unknown = JSON.parse(json)
  if (!isObject(parsed)) throw new RangeError('Metadata is not as it was written.')
  return parsed
}

function parseArray(json: string): readonly Json[] {
  const parsed: unknown = JSON.parse(json)
  if (!isArray(parsed)) throw new RangeError('Breadcrumbs are not as they were written.')
  return parsed
}
