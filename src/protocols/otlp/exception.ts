import type { JsonObject, Level, Occurrence, Platform } from '../../occurrence.ts'
import { derivedId } from '../derive.ts'
import { isObject, present, textOf } from '../json.ts'
import type { Post } from '../protocol.ts'
import { settleTime, withinLimits } from '../limits.ts'
import { framesOfText } from './frames.ts'
import { SEVERITY_ERROR, SEVERITY_FATAL } from './signals.ts'
import type { Emitter, Signal } from './signals.ts'

/**
 * One error log record, or one exception event of a span.
 *
 * The id is derived, since exporters send again what was answered too late. An exception within a span has the
 * id of span, type and message, so that it counts once when instrumentations send it as a log record and as a
 * span event (`OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN=logs/dup`); else the id is of everything that tells
 * records apart. `ordinalOf` counts equal ones of the same kind within the request.
 * @see https://opentelemetry.io/docs/specs/semconv/exceptions/
 */
export function occurrenceOf(
  signal: Signal,
  origin: Pick<Post, 'appId' | 'receivedAtMs' | 'digest'>,
  ordinalOf: (key: string) => number,
): Occurrence {
  const { attributes, exception, emitter } = signal
  const shared = sharedOf(emitter)
  const text = (name: string) => textOf(attributes[name])
  const type = exception.type === '' ? undefined : exception.type
  const bodyText = typeof signal.body === 'object' ? undefined : textOf(signal.body)
  const message = exception.message || (bodyText ?? type ?? jsonText(signal))
  return withinLimits({
    id: derivedId(
      identityOf(signal, { appId: origin.appId, type, message }, ordinalOf),
      origin.digest,
    ),
    appId: origin.appId,
    protocol: 'otlp',
    code: type ?? text('error.type') ?? (named(signal) || 'log'),
    message,
    stackTrace: exception.stacktrace,
    parsedStack: framesOfText(exception.stacktrace, shared.platform),
    appVersion: shared.appVersion,
    platform: shared.platform,
    platformVersion: shared.platformVersion,
    environment: shared.environment,
    level: levelOf(signal),
    userId: text('enduser.id') ?? text('user.id') ?? shared.userId,
    ...settleTime(millisOf(signal.timeNanos), origin.receivedAtMs),
    receivedAtMs: origin.receivedAtMs,
    metadata: metadataOf(signal, message, shared),
    tags: shared.tags,
    fingerprint: [],
    breadcrumbs: [],
    traceId: signal.traceId,
    spanId: signal.spanId,
    marks: [],
  })
}

function identityOf(
  signal: Signal,
  what: { readonly appId: string; readonly type: string | undefined; readonly message: string },
  ordinalOf: (key: string) => number,
): string {
  const { appId, type, message } = what
  const within = type !== undefined && signal.traceId !== '' && signal.spanId !== ''
  const parts = within
    ? ['exception', appId, signal.traceId, signal.spanId, bareType(type), message]
    : [
        signal.kind,
        appId,
        sharedOf(signal.emitter).identity,
        signal.traceId,
        signal.spanId,
        signal.timeNanos,
        type ?? signal.eventName,
        message,
      ]
  const key = JSON.stringify(parts)
  return `${key} ${String(ordinalOf(signal.kind + key))}`
}

/** Python names the module of a type in span events only; Java writes an inner class with a dot or a dollar. */
function bareType(type: string): string {
  return type.slice(Math.max(type.lastIndexOf('.'), type.lastIndexOf('$')) + 1)
}

/** What all records of an emitter have in common: a resource has dozens of attributes and thousands of records. */
interface Shared {
  readonly identity: string
  readonly appVersion: string
  readonly environment: string
  readonly platform: Platform
  readonly platformVersion: string
  readonly userId: string | null
  readonly tags: Readonly<Record<string, string>>
  readonly scope: JsonObject | undefined
  readonly resource: JsonObject | undefined
}

const sharedByEmitter = new WeakMap<Emitter, Shared>()

function sharedOf(emitter: Emitter): Shared {
  const known = sharedByEmitter.get(emitter)
  if (known !== undefined) return known
  const { resource, scope, scopeVersion } = emitter
  const own = (name: string) => textOf(resource[name])
  const shared: Shared = {
    identity: derivedId(JSON.stringify([resource, scope])),
    appVersion: own('service.version') ?? '',
    environment:
      own('deployment.environment.name') ?? own('deployment.environment') ?? 'production',
    ...platformOf(resource),
    userId: own('enduser.id') ?? own('user.id') ?? null,
    tags: tagsOf(emitter),
    scope: scope === '' ? undefined : present({ name: scope, version: scopeVersion || undefined }),
    resource: Object.keys(resource).length === 0 ? undefined : resource,
  }
  sharedByEmitter.set(emitter, shared)
  return shared
}

function levelOf({ kind, severity }: Signal): Level {
  if (kind === 'span' || severity === 0) return 'error'
  if (severity >= SEVERITY_FATAL) return 'fatal'
  if (severity >= SEVERITY_ERROR) return 'error'
  if (severity >= 13) return 'warning'
  return severity >= 9 ? 'info' : 'debug'
}

const LANGUAGES: Readonly<Record<string, Platform>> = {
  nodejs: 'node',
  webjs: 'web',
  python: 'python',
  go: 'go',
  java: 'java',
  rust: 'rust',
  ruby: 'ruby',
  php: 'php',
  dotnet: 'dotnet',
  erlang: 'elixir',
  elixir: 'elixir',
  cpp: 'native',
  swift: 'ios',
}

function platformOf(resource: JsonObject): { platform: Platform; platformVersion: string } {
  const language = textOf(resource['telemetry.sdk.language']) ?? ''
  const system = (textOf(resource['os.name']) ?? textOf(resource['os.type']) ?? '').toLowerCase()
  const phone = system === 'android' || system === 'ios' ? system : undefined
  const platform = phone ?? (Object.hasOwn(LANGUAGES, language) ? LANGUAGES[language] : 'other')
  const version = resource[phone === undefined ? 'process.runtime.version' : 'os.version']
  return { platform: platform ?? 'other', platformVersion: textOf(version) ?? '' }
}

/** What people filter by; all other attributes of the resource stand in the metadata. */
const TAGGED = [
  'service.name',
  'service.namespace',
  'k8s.cluster.name',
  'k8s.namespace.name',
  'k8s.deployment.name',
  'k8s.statefulset.name',
  'k8s.daemonset.name',
  'k8s.pod.name',
  'k8s.container.name',
  'k8s.node.name',
  'container.image.name',
  'container.image.tag',
  'host.name',
] as const

function tagsOf({ resource }: Emitter): Readonly<Record<string, string>> {
  const tags: Record<string, string> = {}
  for (const name of TAGGED) {
    const value = textOf(resource[name])
    if (value !== undefined) tags[name] = value
  }
  return tags
}

function metadataOf(signal: Signal, message: string, { scope, resource }: Shared): JsonObject {
  return present({
    attributes: Object.keys(signal.attributes).length === 0 ? undefined : signal.attributes,
    body: signal.body === message ? undefined : signal.body,
    event: signal.eventName === '' ? undefined : signal.eventName,
    span: signal.span === '' ? undefined : signal.span,
    severity: signal.severityText === '' ? undefined : signal.severityText,
    scope,
    resource,
  })
}

function named(signal: Signal): string {
  return signal.eventName !== '' && signal.eventName !== 'exception'
    ? signal.eventName
    : signal.emitter.scope
}

function jsonText({ body }: Signal): string {
  return isObject(body) || Array.isArray(body) ? JSON.stringify(body) : ''
}

function millisOf(nanos: string): number | undefined {
  if (nanos === '0') return undefined
  const ms = Number(BigInt(nanos) / 1_000_000n)
  // What is later than the year 9999 is no time but a wrong unit.
  return ms > 253_402_300_799_999 ? undefined : ms
}
