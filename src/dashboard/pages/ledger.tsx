import { OUTCOMES, type DropReason } from '../../outcome.ts'
import type { RefusalCode } from '../../refusal.ts'
import type { LedgerAnswer } from '../ledger.ts'
import { bucketLabel, fill, granularityOf } from './buckets.ts'
import { Ranges } from './filters.tsx'
import { Layout, type Frame } from './layout.tsx'
import { ledgerHref, type ListQuery } from './query.ts'
import { Text, clip, exact, number } from './text.tsx'
import { Axis, Bars } from './trend.tsx'

type Kind = (typeof OUTCOMES)[number]

/** Everything the page of the ledger shows. */
export interface LedgerView {
  readonly frame: Frame
  /** What is counted: an app, or undefined for all of them and for what no app sent. */
  readonly app: { readonly id: string; readonly name: string } | undefined
  /** Whether the reader may see all of them. */
  readonly mayReadAll: boolean
  readonly query: ListQuery
  readonly ledger: LedgerAnswer
}

const MEANING = {
  stored: 'Kept, and in every answer.',
  duplicate: 'Sent again with the id of an event that was there; it counts once.',
  dropped: 'Accepted, and left out by a rule.',
  refused: 'Not accepted; the client was told why.',
  undeliverable: 'Accepted, and refused by ClickHouse for its content; kept aside on the disk.',
  lost: 'Accepted, and not found again on the disk: look at the disk.',
} as const satisfies Record<Kind, string>

const REASON = {
  malformed: 'It could not be read, or broke a rule of its protocol.',
  unauthenticated: 'No key, or one that nobody knows.',
  forbidden: 'A key that is revoked, has expired, or may not do this.',
  not_found: 'There is nothing at that address.',
  method_not_allowed: 'Not a POST.',
  timeout: 'It did not arrive completely in time.',
  conflict: 'It contradicts what is there.',
  too_large: 'Larger than a request may be.',
  unsupported_encoding: 'Compressed in a way that is not known here.',
  rate_limited: 'More than the key may send in a second.',
  quota: 'More than the app may send in a day.',
  overloaded: 'The server could not keep it safe then; the client was told to come again.',
  internal: 'A bug of the server: its log has it.',
  expired: 'Older than events are kept.',
  spike: 'More of one issue in a minute than the app allows.',
} as const satisfies Record<RefusalCode | DropReason | 'internal', string>

/** The page of the ledger: what came in, how it ended, and what clients say they never sent. */
export function LedgerPage(view: LedgerView) {
  const { frame, query, app, ledger } = view
  const { received } = ledger.totals
  const hrefOf = (changes: Readonly<Record<string, string>>) => ledgerHref(query, app?.id, changes)
  return (
    <Layout frame={frame} title="Ledger">
      <div class="headline">
        <h1>
          <strong>{number(received)}</strong> {received === 1 ? 'event' : 'events'} received
          <small>
            {query.preset
              ? ` in ${query.preset.title}`
              : ` from ${exact(query.range.startMs)} to ${exact(query.range.endMs)}`}
          </small>
        </h1>
        <Ranges query={query} hrefOf={hrefOf} />
      </div>
      {query.problems.map((problem) => (
        <p class="problem" role="alert">
          {problem}
        </p>
      ))}
      <Scope {...view} />
      <div class="columns ledger">
        <section aria-labelledby="outcomes-title">
          <h2 id="outcomes-title">How they ended</h2>
          <Outcomes {...view} />
          <Times {...view} />
        </section>
        <aside>
          <section aria-labelledby="reasons-title">
            <h2 id="reasons-title">Why not stored</h2>
            <Reasons ledger={ledger} />
          </section>
          <section aria-labelledby="unsent-title">
            <h2 id="unsent-title">Never sent</h2>
            <Unsent ledger={ledger} />
          </section>
        </aside>
      </div>
    </Layout>
  )
}

/** One app, or all that the server got. */
function Scope({ frame, app, mayReadAll, query }: LedgerView) {
  const one = frame.app
  if (!mayReadAll || one === undefined) return null
  return (
    <nav class="ranges scope" aria-label="What is counted">
      <a href={ledgerHref(query, one.id)} aria-current={app !== undefined ? 'true' : undefined}>
        <Text value={clip(one.name, 40)} />
      </a>
      <a
        href={ledgerHref(query, one.id, { scope: 'all' })}
        aria-current={app === undefined ? 'true' : undefined}
      >
        All apps and nobody's
      </a>
    </nav>
  )
}

function Outcomes({ ledger: { totals } }: LedgerView) {
  const shown = OUTCOMES.filter((kind) => kind !== 'lost' || totals.lost > 0)
  return (
    <div class="card">
      <Split totals={totals} />
      <ul class="tallies shares">
        {shown.map((kind) => (
          <li class={`outcome-${kind}`}>
            <span class="tally-name">{kind}</span>
            <span class="tally-count">{number(totals[kind])}</span>
            <span class="tally-share">{share(totals[kind], totals.received)}</span>
            <p>{MEANING[kind]}</p>
          </li>
        ))}
      </ul>
      <p class="aside">An event that still waits for ClickHouse is counted once it has ended.</p>
    </div>
  )
}

/** One bar, split by outcome. */
function Split({ totals }: Pick<LedgerAnswer, 'totals'>) {
  if (totals.received === 0) return null
  let from = 0
  const parts = OUTCOMES.map((kind) => {
    const width = (totals[kind] / totals.received) * 100
    from += width
    return { kind, width, at: from - width }
  })
  const label = OUTCOMES.map((kind) => `${kind} ${number(totals[kind])}`).join(', ')
  return (
    <svg class="split" role="img" aria-label={label} viewBox="0 0 100 1" preserveAspectRatio="none">
      {parts.map(({ kind, width, at }) =>
        width > 0 ? <rect class={`outcome-${kind}`} x={at} width={width} height="1" /> : null,
      )}
    </svg>
  )
}

/** Under a tenth of a per cent is not nothing. */
function share(count: number, of: number): string {
  if (count === 0 || of === 0) return ''
  const percent = (count / of) * 100
  return percent < 0.1 ? '< 0.1 %' : `${percent.toFixed(1)} %`
}

function Reasons({ ledger: { ledger } }: Pick<LedgerView, 'ledger'>) {
  const sums = summed(
    ledger.filter(({ outcome }) => outcome === 'refused' || outcome === 'dropped'),
    ({ outcome, reason, protocol }) => [outcome, reason, protocol],
  )
  if (sums.length === 0) return <p class="card nothing">Nothing was refused or dropped.</p>
  return (
    <ul class="card tallies">
      {sums.map(({ names: [outcome = '', reason = '', protocol = ''], count }) => (
        <li class={`outcome-${outcome}`}>
          <span class="tally-name">
            {reason} <small>{[outcome, protocol].filter((name) => name !== '').join(' · ')}</small>
          </span>
          <span class="tally-count">{number(count)}</span>
          <p>{isReason(reason) ? REASON[reason] : ''}</p>
        </li>
      ))}
    </ul>
  )
}

function isReason(reason: string): reason is keyof typeof REASON {
  return Object.hasOwn(REASON, reason)
}

function Unsent({ ledger: { unsent } }: Pick<LedgerView, 'ledger'>) {
  const sums = summed(unsent, ({ category, reason }) => [category, reason])
  return (
    <div class="card">
      <p class="aside">
        What Sentry SDKs say they threw away before sending: sampled, over a limit, or while
        offline. It is no event of this server, and in no number beside.
      </p>
      {sums.length > 0 && (
        <ul class="tallies">
          {sums.map(({ names: [category = '', reason = ''], count }) => (
            <li>
              <span class="tally-name">
                <Text value={clip(reason, 60)} />{' '}
                <small>
                  <Text value={clip(category, 60)} />
                </small>
              </span>
              <span class="tally-count">{number(count)}</span>
            </li>
          ))}
        </ul>
      )}
      {sums.length === 0 && <p class="nothing">No SDK has said so.</p>}
    </div>
  )
}

/** When it was: a picture of what came in, and the numbers of each hour or day. */
function Times({ ledger: { ledger }, query }: LedgerView) {
  const granularity = granularityOf(query.range)
  const counted = ledger.map(({ time, count }) => ({ time, count, affectedUsers: 0 }))
  const series = fill(counted, query.range, granularity)
  if (ledger.length === 0) return null
  const rows = Map.groupBy(ledger, ({ time }) => time)
  const stepMs = granularity === 'hour' ? 3_600_000 : 86_400_000
  return (
    <figure class="card trend">
      <div class="chart">
        <div class="chart-still">
          <Bars series={series} label="Events received, over time; the numbers are below." />
          <Axis series={series} />
        </div>
      </div>
      <details class="trend-table">
        <summary>{`By ${granularity}`}</summary>
        <div class="scroll" tabindex={0} role="region" aria-label="Outcomes over time">
          <table>
            <thead>
              <tr>
                <th scope="col">From (UTC)</th>
                {OUTCOMES.map((kind) => (
                  <th scope="col">{kind}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {[...rows].map(([time, entries]) => (
                <tr>
                  <th scope="row">{bucketLabel(Date.parse(time), stepMs)}</th>
                  {OUTCOMES.map((kind) => (
                    <td>{number(sumOf(entries.filter(({ outcome }) => outcome === kind)))}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  )
}

function sumOf(entries: readonly { readonly count: number }[]): number {
  return entries.reduce((sum, { count }) => sum + count, 0)
}

/** Sums by names, the largest first. */
function summed<Entry extends { readonly count: number }>(
  entries: readonly Entry[],
  namesOf: (entry: Entry) => readonly string[],
): readonly { readonly names: readonly string[]; readonly count: number }[] {
  return [...Map.groupBy(entries, (entry) => namesOf(entry).join('\0'))]
    .map(([key, group]) => ({ names: key.split('\0'), count: sumOf(group) }))
    .toSorted((a, b) => b.count - a.count)
}
