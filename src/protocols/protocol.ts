import type { Occurrence } from '../occurrence.ts'
import type { Refusal } from '../refusal.ts'

/** One request after admission: its body is already bounded and inflated. */
export interface Post {
  readonly request: Request
  readonly body: Uint8Array
  /** The app that the key belongs to. */
  readonly appId: string
  readonly receivedAtMs: number
  /** Most events that one request may carry. */
  readonly eventsMax: number
}

/** One item of a request that could not be understood. */
export interface RefusedItem {
  readonly index: number
  readonly id: string | null
  readonly refusal: Refusal
}

/** What was understood, and what was not: a bad item must not cost its neighbours. */
export interface Decoded {
  readonly occurrences: readonly Occurrence[]
  readonly refused: readonly RefusedItem[]
}

/** A wire format. Adding one means one folder and one line in `protocols/index.ts`. */
export interface Protocol {
  readonly name: string
  /** Hono path patterns answered with POST. */
  readonly paths: readonly string[]
  /** The raw API key, wherever this protocol puts it. */
  readonly credential: (request: Request) => string | undefined
  /** @throws Refusal `malformed` when nothing in the body can be understood. */
  readonly decode: (post: Post) => Decoded
  readonly accepted: (decoded: Decoded) => Response
  /** The shape of a no is the protocol's; its status is decided in http/problem.ts. */
  readonly refused: (refusal: Refusal, status: number, items?: readonly RefusedItem[]) => Response
}
