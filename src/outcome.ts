import type { RefusalCode } from './refusal.ts'

/** Why we dropped an occurrence we had accepted. */
export type DropReason = 'expired' | 'spike'

/**
 * How one event ended. Every event gets exactly one, so at any moment
 * received + recovered = refused + dropped + duplicate + stored + undeliverable + lost + still spooled.
 */
export type Outcome =
  /** `internal` is a bug of ours. */
  | { readonly kind: 'refused'; readonly reason: RefusalCode | 'internal' }
  | { readonly kind: 'dropped'; readonly reason: DropReason }
  /** Its id was stored, or is being stored, from an earlier arrival. */
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'stored' }
  | { readonly kind: 'undeliverable' }
  /** Accepted, and not found again on the disk. */
  | { readonly kind: 'lost' }

/** Every way to end, in the order in which they are shown. */
export const OUTCOMES = [
  'stored',
  'duplicate',
  'dropped',
  'refused',
  'undeliverable',
  'lost',
] as const satisfies readonly Outcome['kind'][]

/** `count` events of one app and protocol that ended alike; both are empty where nobody knows. */
export interface Ended {
  readonly appId: string
  readonly protocol: string
  readonly outcome: Outcome
  readonly count: number
}

/** Why, where the outcome says so; else empty. */
export function reasonOf(outcome: Outcome): string {
  return 'reason' in outcome ? outcome.reason : ''
}
