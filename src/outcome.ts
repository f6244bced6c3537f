import type { RefusalCode } from './refusal.ts'

/** Why we dropped an occurrence we had accepted. */
export type DropReason = 'duplicate' | 'expired' | 'spike'

/**
 * How one event ended. Every event gets exactly one, so for any window
 * received = refused + dropped + stored + undeliverable + still spooled.
 */
export type Outcome =
  | { readonly kind: 'refused'; readonly reason: RefusalCode }
  | { readonly kind: 'dropped'; readonly reason: DropReason }
  | { readonly kind: 'stored' }
  | { readonly kind: 'undeliverable' }
