import { BinaryReader } from '@bufbuild/protobuf/wire'
import type { JsonObject } from '../../occurrence.ts'
import { Refusal } from '../../refusal.ts'
import { put } from '../json.ts'
import type { MutableJsonObject } from '../json.ts'
import type { RefusedItem } from '../protocol.ts'
import { ExportLogsServiceRequestSchema } from './generated/opentelemetry/proto/collector/logs/v1/logs_service_pb.ts'
import { InstrumentationScopeSchema } from './generated/opentelemetry/proto/common/v1/common_pb.ts'
import { ResourceSchema } from './generated/opentelemetry/proto/resource/v1/resource_pb.ts'
import { each, finish, pairAt, skip, tagOf } from './reader.ts'
import type { Emitter } from './signals.ts'

/** Where a request of one signal holds its records: the three differ in names, not in shape. */
export interface RequestTags {
  readonly resource: number
  readonly scopes: number
  readonly scope: number
  readonly records: number
}

/** Reads one record, which ends at `end`. */
export type Take = (reader: BinaryReader, end: number, emitter: Emitter, index: number) => void

/**
 * Calls `take` for each record of a request in protobuf. What cannot be decoded is refused: a record, or all of a scope
 * or a resource whose lengths are wrong; what stands beside it lives.
 * @throws Refusal `malformed` when the request's own lengths are wrong, or nothing of it can be decoded.
 */
export function eachRecordOfBytes(
  body: Uint8Array,
  tags: RequestTags,
  take: Take,
): { readonly total: number; readonly refused: readonly RefusedItem[] } {
  // Not Node's own kind of bytes, of which each view costs several times more.
  const { buffer, byteOffset, byteLength } = body
  const reader = new BinaryReader(new Uint8Array(buffer, byteOffset, byteLength))
  try {
    each(reader, body.length, RESOURCES, () => undefined)
  } catch (cause) {
    throw undecodable(cause)
  }
  reader.pos = 0
  const walk = createWalk(reader, tags, take)
  each(reader, body.length, RESOURCES, walk.resource)
  const { total, refused } = walk
  const [first] = refused
  if (first !== undefined && total() === 0) throw first.refusal
  return { total: total(), refused }
}

const RESOURCES = tagOf(ExportLogsServiceRequestSchema.field.resourceLogs)
const ATTRIBUTE = tagOf(ResourceSchema.field.attributes)
const NAME = tagOf(InstrumentationScopeSchema.field.name)
const VERSION = tagOf(InstrumentationScopeSchema.field.version)

function createWalk(reader: BinaryReader, tags: RequestTags, take: Take) {
  const refused: RefusedItem[] = []
  let [index, total] = [0, 0]
  const attempt = (work: () => void): void => {
    try {
      work()
    } catch (cause) {
      // The library throws plain errors for bytes that are no such message; nothing else is called here.
      refused.push({ index, id: null, refusal: undecodable(cause) })
    }
  }
  const scope = (end: number, resource: JsonObject): void => {
    const emitter = emitterAt(reader, end, tags.scope, resource)
    each(reader, end, tags.records, (stop) => {
      attempt(() => {
        take(reader, stop, emitter, index)
        total++
      })
      index++
    })
  }
  return {
    resource: (end: number): void =>
      attempt(() => {
        const resource = resourceAt(reader, end, tags.resource)
        each(reader, end, tags.scopes, (stop) => attempt(() => scope(stop, resource)))
      }),
    total: () => total,
    refused,
  }
}

/** The attributes of a resource, wherever it stands in the message; the reader is left where it was. */
function resourceAt(reader: BinaryReader, end: number, tag: number): JsonObject {
  const start = reader.pos
  const attributes: MutableJsonObject = {}
  each(reader, end, tag, (resourceEnd) => {
    each(reader, resourceEnd, ATTRIBUTE, (stop) =>
      pairAt(reader, stop, (name, value) => put(attributes, name, value)),
    )
  })
  reader.pos = start
  return attributes
}

/** What the records of a scope share; the reader is left where it was. */
function emitterAt(
  reader: BinaryReader,
  end: number,
  scopeTag: number,
  resource: JsonObject,
): Emitter {
  const start = reader.pos
  let [scope, scopeVersion] = ['', '']
  each(reader, end, scopeTag, (stop) => {
    while (reader.pos < stop) {
      const tag = reader.uint32()
      if (tag === NAME) scope = reader.string()
      else if (tag === VERSION) scopeVersion = reader.string()
      else skip(reader, tag)
    }
    finish(reader, stop)
  })
  reader.pos = start
  return { resource, scope, scopeVersion }
}

function undecodable(cause: unknown): Refusal {
  const message = 'The body is no OTLP request in protobuf as its Content-Type says.'
  return new Refusal('malformed', message, { cause })
}
