import type { JsonObject } from '../../occurrence.ts'
import { Refusal } from '../../refusal.ts'
import { textOf } from '../json.ts'
import { envelopeHeaders } from './envelope.ts'

/** What a DSN says: `{PROTOCOL}://{KEY}[:{SECRET}]@{HOST}{PATH}/{PROJECT}`. */
interface Dsn {
  readonly key: string
  readonly project: string
}

/**
 * The public key of a request: `X-Sentry-Auth` (or `Authorization: Sentry …`), or the query.
 * @throws Refusal `forbidden` when both stand there and differ.
 */
export function keyOfRequest(request: Request): string | undefined {
  const inHeader =
    keyOfHeader(request.headers.get('x-sentry-auth')) ??
    keyOfHeader(request.headers.get('authorization'))
  const inQuery = queryOf(request.url)?.get('sentry_key') ?? undefined
  if (inHeader !== undefined && inQuery !== undefined && inHeader !== inQuery) throw differing()
  return inHeader ?? (inQuery === '' ? undefined : inQuery)
}

function queryOf(url: string): URLSearchParams | undefined {
  const start = url.indexOf('?')
  if (start === -1) return undefined
  const end = url.indexOf('#', start)
  return new URLSearchParams(url.slice(start + 1, end === -1 ? undefined : end))
}

/** The public key of the DSN in an envelope's header, as tunnels send it. Never throws. */
export function keyOfBody(body: Uint8Array): string | undefined {
  const headers = envelopeHeaders(body)
  return headers === undefined ? undefined : dsnOf(headers)?.key
}

/** The DSN of an envelope's header, where one stands that can be read. */
function dsnOf(headers: JsonObject): Dsn | undefined {
  const text = textOf(headers['dsn'])
  if (text === undefined || !URL.canParse(text)) return undefined
  const url = new URL(text)
  const project = url.pathname.slice(url.pathname.lastIndexOf('/') + 1)
  return url.username === '' ? undefined : { key: url.username, project }
}

/**
 * Makes sure that everything in the request names one key and one project.
 * @throws Refusal `forbidden` when the parts name different ones.
 */
export function agree(
  request: Request,
  headers: JsonObject,
  pathProject: string | undefined,
  projectId: number | undefined,
): void {
  const dsn = dsnOf(headers)
  const key = keyOfRequest(request)
  if (dsn !== undefined && key !== undefined && dsn.key !== key) throw differing()
  for (const project of [pathProject, dsn?.project]) {
    if (project === undefined || projectId === undefined) continue
    if (project !== String(projectId)) {
      throw new Refusal(
        'forbidden',
        'The key belongs to another project than the one in the DSN; copy the whole DSN.',
      )
    }
  }
}

/** `Sentry sentry_version=7, sentry_key=…`, its fields in any order, spaces after commas or none. */
function keyOfHeader(header: string | null): string | undefined {
  if (header === null || !/^sentry\s/i.test(header)) return undefined
  for (const field of header.slice('sentry'.length).split(',')) {
    const [name, value] = field.split('=', 2)
    if (name?.trim().toLowerCase() !== 'sentry_key') continue
    const key = value?.trim().replace(/^"(.*)"$/, '$1')
    return key === '' ? undefined : key
  }
  return undefined
}

function differing(): Refusal {
  return new Refusal('forbidden', 'The request holds two keys that differ; send one.')
}
