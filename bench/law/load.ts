import { setTimeout as sleep } from 'node:timers/promises'
import { seeded } from '../chaos/random.ts'
import type { World } from '../chaos/world.ts'
import { again, makeRequest, type Request } from './requests.ts'

/** A request that was sent, and what came back; without a status nobody knows what became of it. */
export interface Sent {
  readonly request: Request
  readonly status: number | undefined
  readonly code: string
}

const CLIENTS = 8
const REQUEST_MS_MAX = 8_000
/** Of each client, to pick from what it sends again. */
const REMEMBERED_MAX = 50
const AGAIN_SHARE = 0.08

/** Sends until `stop`, as clients that know nothing of one another; no request is tried again but after its yes. */
export function startLoad(
  world: World,
  { seed, perSecond }: { readonly seed: number; readonly perSecond: number },
  stop: AbortSignal,
): { readonly sent: readonly Sent[]; readonly done: Promise<unknown> } {
  const sent: Sent[] = []
  let marks = 0

  async function send(request: Request, url: string): Promise<boolean> {
    let status: number | undefined
    let code = ''
    try {
      const answer = await fetch(url + request.path, {
        method: 'POST',
        headers: request.headers,
        body: request.body,
        signal: AbortSignal.timeout(REQUEST_MS_MAX),
      })
      code = answer.headers.get('x-error-code') ?? ''
      await answer.arrayBuffer()
      status = answer.status
    } catch (error) {
      // Nobody listened: nothing was received.
      if (isRefusedConnection(error)) return false
      // It died, or took too long.
    }
    sent.push({ request, status, code })
    return status === 200
  }

  async function client(number: number): Promise<void> {
    const random = seeded(seed, `client ${number}`)
    const acknowledged: { readonly request: Request; readonly url: string }[] = []
    while (!stop.aborted) {
      const { url } = random.pick(world.servers)
      const old = random.chance(AGAIN_SHARE) ? acknowledged.at(-random.whole(1, 50)) : undefined
      if (old === undefined) {
        marks += 1
        const request = makeRequest(marks, random)
        const isTaken = await send(request, url)
        if (isTaken && isRepeatable(request)) acknowledged.push({ request, url })
        if (acknowledged.length > REMEMBERED_MAX) acknowledged.shift()
      } else {
        await send(again(old.request), old.url)
      }
      await sleep((random.next() * 2 * CLIENTS * 1_000) / perSecond)
    }
  }

  return { sent, done: Promise.all(Array.from({ length: CLIENTS }, (_, n) => client(n))) }
}

function isRefusedConnection(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED'
}

/** What comes again is known as a whole: nothing in it was refused, dropped or only told. */
function isRepeatable({ appId, stored, expired, refused, unsent }: Request): boolean {
  const others = [...Object.values(refused), ...Object.values(unsent)]
  return appId.startsWith('law-plain') && stored > 0 && expired === 0 && others.length === 0
}
