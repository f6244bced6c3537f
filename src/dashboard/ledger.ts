import { OUTCOMES } from '../outcome.ts'
import type { LedgerEntry } from '../store/store.ts'

type Kind = (typeof OUTCOMES)[number]

/** What the ledger says of a range. */
export interface LedgerAnswer {
  /** Events that ended, and how many of them in which way. */
  readonly totals: Readonly<Record<Kind | 'received', number>>
  /** By bucket, protocol, outcome and reason, oldest first. */
  readonly ledger: readonly LedgerEntry[]
  /** What clients say they never sent: no events of ours, and in no total. */
  readonly unsent: readonly {
    readonly time: string
    readonly protocol: string
    readonly category: string
    readonly reason: string
    readonly count: number
  }[]
}

/** Tells our events and what clients say of theirs apart, and sums ours. */
export function ledgerAnswer(entries: readonly LedgerEntry[]): LedgerAnswer {
  const ledger = entries.filter(({ outcome }) => outcome !== 'unsent')
  const sum = (kind?: Kind) =>
    ledger.reduce(
      (sum, { outcome, count }) => sum + (kind === undefined || outcome === kind ? count : 0),
      0,
    )
  const [stored, duplicate, dropped, refused, undeliverable, lost] = OUTCOMES
  return {
    totals: {
      received: sum(),
      stored: sum(stored),
      duplicate: sum(duplicate),
      dropped: sum(dropped),
      refused: sum(refused),
      undeliverable: sum(undeliverable),
      lost: sum(lost),
    },
    ledger,
    unsent: entries
      .filter(({ outcome }) => outcome === 'unsent')
      .map(({ time, protocol, reason: said, count }) => {
        const [category = '', reason = ''] = said.split(':')
        return { time, protocol, category, reason, count }
      }),
  }
}
