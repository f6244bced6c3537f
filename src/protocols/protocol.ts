import type { Occurrence } from '../occurrence.ts'
import type { Refusal } from '../refusal.ts'

/** One request after admission: its body is already bounded and inflated. */
export interface Post {
  readonly request: Request
  readonly body: Uint8Array
  /** The app that the key belongs to. */
  readonly appId: string
  /** Its numeric alias; a protocol whose paths name a project refuses those of another. */
  readonly projectId?: number | undefined
  readonly receivedAtMs: number
  /** SHA-256 of texts joined by newlines, as hex; where absent, protocols make it themselves. */
  readonly digest?: ((texts: readonly string[]) => string) | undefined
  /** Most events that one request may carry. */
  readonly eventsMax: number
}

/** One item of a request that could not be understood. */
export interface RefusedItem {
  readonly index: number
  readonly id: string | null
  readonly refusal: Refusal
}

/** Parts of a request that were understood and are no errors, or that the client says it lost itself. */
export interface Discarded {
  /** Whether we do not keep it, or the client reports that it never sent it. */
  readonly by: 'server' | 'client'
  /** What it was and why, both from the protocol's closed sets: they may be metric labels. */
  readonly category: string
  readonly reason: string
  readonly count: number
}

/** What was understood, and what was not: a bad item must not cost its neighbours. */
export interface Decoded {
  readonly occurrences: readonly Occurrence[]
  readonly refused: readonly RefusedItem[]
  /** Neither kept nor refused; counted, and not among a request's events. */
  readonly discarded?: readonly Discarded[]
  /**
   * The whole request is refused with this, whatever its items were; `refused` then holds all of them, so
   * that each is counted, and the answer does not list them.
   */
  readonly refusal?: Refusal
  /** The name that the protocol's answer gives the request, where it gives one. */
  readonly receipt?: string | undefined
}

/** An answer as plain data: http/intake.ts adds its headers without building a Response twice. */
export interface Reply {
  readonly status: number
  readonly contentType: string
  readonly body: string | Uint8Array<ArrayBuffer>
}

/** A wire format. Adding one means one folder and one line in `protocols/index.ts`. */
export interface Protocol {
  readonly name: string
  /** Hono path patterns answered with POST. */
  readonly paths: readonly string[]
  /**
   * The raw API key, wherever this protocol puts it.
   * @throws Refusal `forbidden` when the request holds two that differ.
   */
  readonly credential: (request: Request) => string | undefined
  /**
   * The raw API key where only the body holds it. Asked after `credential` found none, so the body is then
   * read (bounded as always) before admission. Undefined when there is none; never throws.
   */
  readonly credentialInBody?: (body: Uint8Array) => string | undefined
  /** Request headers, beyond those of all protocols, that browsers may send from another origin. */
  readonly corsHeaders?: readonly string[]
  /** @throws Refusal `malformed` when nothing in the body can be understood. */
  readonly decode: (post: Post) => Decoded
  /** `request` tells the encoding of the answer, where a protocol has several. */
  readonly accepted: (decoded: Decoded, request?: Request) => Response | Reply
  /** The shape of a no is the protocol's; its status is decided in http/problem.ts. */
  readonly refused: (
    refusal: Refusal,
    status: number,
    items?: readonly RefusedItem[],
    request?: Request,
  ) => Response | Reply
}
