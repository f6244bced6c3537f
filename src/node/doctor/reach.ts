import { z } from 'zod'
import type { Config } from '../../config.ts'
import { findingsOf, type Finding } from '../../finding.ts'
import { errorText } from './words.ts'

const REACH_MS_MAX = 5_000

/** What the server of these settings says on this machine; undefined where none runs. */
export interface RunningAnswer {
  readonly url: string
  readonly ready: { readonly status: number; readonly text: string }
  readonly metrics: string
}

/** Asks the server on PORT of this machine. Never rejects. */
export async function askServer({ http }: Config): Promise<RunningAnswer | undefined> {
  if (http.port === 0) return undefined
  const isAll = ['::', '0.0.0.0', '127.0.0.1', 'localhost'].includes(http.host)
  const host = isAll ? '127.0.0.1' : http.host.includes(':') ? `[${http.host}]` : http.host
  const url = `http://${host}:${http.port}`
  try {
    const ready = await get(`${url}/health/ready`)
    const metrics = await get(`${url}/metrics`)
    const isOurs = metrics.text.includes('error_ingestor_build_info')
    return isOurs ? { url, ready, metrics: metrics.text } : undefined
  } catch {
    // Nobody listens there: that it does not run is an answer.
    return undefined
  }
}

/** Whether a server runs, whether it is ready, and what its metrics say of its own errors. */
export function serverFindings(config: Config, running: RunningAnswer | undefined): Finding[] {
  const { ok, note, wrong } = findingsOf('server-ready')
  if (running === undefined) {
    return [note(`No server of ours answers on port ${config.http.port} of this machine.`)]
  }
  const { url, ready, metrics } = running
  const version = /error_ingestor_build_info\{version="([^"]*)"/.exec(metrics)?.[1] ?? 'unknown'
  const bugs = Number(/^error_ingestor_bugs_total (\d+)/m.exec(metrics)?.[1] ?? 0)
  const found = [
    ready.status === 200
      ? ok(`A server runs on ${url}, version ${version}, and is ready.`)
      : wrong(
          `A server runs on ${url}, version ${version}, and is not ready: ${whyUnready(ready.text)}`,
          'See what is said of its parts here.',
        ),
  ]
  if (bugs > 0) {
    const text = `It has met ${bugs} errors of its own since its start.`
    const advice = 'Read its log for `A bug:`, and report it with `doctor --bundle`.'
    found.push(findingsOf('server-bugs').warning(text, advice))
  }
  return found
}

function whyUnready(text: string): string {
  const parsed = z.object({ error: z.string() }).safeParse(parsedJson(text))
  return parsed.success ? parsed.data.error : 'it does not say why.'
}

/** Everything outside that is configured: the provider of sign-in, the receiver of traces, our address. */
export async function reachFindings(config: Config): Promise<readonly Finding[]> {
  const all = await Promise.all([oidc(config), otlp(config), selfDsn(config), publicUrl(config)])
  return all.flat()
}

async function oidc({ signIn }: Config): Promise<Finding[]> {
  if (signIn.oidc === undefined) return []
  const { ok, wrong } = findingsOf('reach-oidc')
  const { issuer } = signIn.oidc
  const place = `${issuer.replace(/\/+$/, '')}/.well-known/openid-configuration`
  const advice = 'Correct OIDC_ISSUER, or let this server reach it; nobody can sign in meanwhile.'
  try {
    const { status, text } = await get(place)
    if (status !== 200) return [wrong(`The provider of sign-in answers ${status}.`, advice)]
    const said = z.object({ issuer: z.string() }).safeParse(parsedJson(text))
    if (said.success && said.data.issuer === issuer) return [ok('The provider of sign-in answers.')]
    const other = said.success ? `calls itself ${said.data.issuer}` : 'does not say who it is'
    return [wrong(`The provider of sign-in ${other}.`, 'OIDC_ISSUER must be exactly what it says.')]
  } catch (error) {
    return [wrong(`The provider of sign-in does not answer: ${errorText(error)}.`, advice)]
  }
}

async function otlp({ tracing }: Config): Promise<Finding[]> {
  if (tracing.endpoint === undefined) return []
  const { ok, warning } = findingsOf('reach-otlp')
  const advice = 'Correct OTEL_EXPORTER_OTLP_ENDPOINT; traces are thrown away meanwhile.'
  try {
    // No bytes are a request without spans.
    const { status } = await get(`${tracing.endpoint.replace(/\/+$/, '')}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: new Uint8Array(),
    })
    if (status < 400) return [ok('The receiver of traces answers.')]
    return [warning(`The receiver of traces answers ${status}.`, advice)]
  } catch (error) {
    return [warning(`The receiver of traces does not answer: ${errorText(error)}.`, advice)]
  }
}

async function selfDsn({ selfDsn: dsn }: Config): Promise<Finding[]> {
  if (dsn === undefined) return []
  const { ok, warning } = findingsOf('reach-self')
  try {
    await get(new URL(dsn).origin)
    return [ok('The server of SELF_DSN answers.')]
  } catch (error) {
    const text = `The server of SELF_DSN does not answer: ${errorText(error)}.`
    return [warning(text, 'Correct SELF_DSN; errors of our own are only in the log meanwhile.')]
  }
}

async function publicUrl({ http }: Config): Promise<Finding[]> {
  if (http.publicUrl === undefined) return []
  const { ok, note } = findingsOf('reach-public')
  try {
    const { status } = await get(`${http.publicUrl.replace(/\/+$/, '')}/health/live`)
    if (status === 200) return [ok('PUBLIC_URL leads to a server of ours.')]
    return [note(`PUBLIC_URL answers ${status} to /health/live.`, 'Clients must reach us there.')]
  } catch (error) {
    const text = `PUBLIC_URL cannot be reached from here: ${errorText(error)}.`
    return [note(text, 'That may be as it should, where only clients outside can.')]
  }
}

async function get(url: string, init: RequestInit = {}) {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(REACH_MS_MAX) })
  return { status: response.status, text: await response.text() }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Then it says nothing that we know.
    return undefined
  }
}
