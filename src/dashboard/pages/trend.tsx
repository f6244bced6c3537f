import { bucketLabel, type Series } from './buckets.ts'
import { counted, number } from './text.tsx'

/**
 * The trend as a figure: an SVG and a table that need no script, and the same numbers as data from
 * which the island `assets/trend.ts` draws a chart to point at and to select a range in.
 */
export function Trend(props: {
  readonly series: Series
  /** The address of this list without a range, to which a selected one is added. */
  readonly listHref: string
}) {
  const { stepMs, points } = props.series
  const total = points.reduce((sum, { count }) => sum + count, 0)
  const peak = points.reduce((most, point) => (point.count > most.count ? point : most), {
    count: 0,
    startMs: 0,
  })
  const summary =
    total === 0
      ? 'No events in this range.'
      : `${counted(total, 'event')}; most at ${bucketLabel(peak.startMs, stepMs)}: ${number(peak.count)}.`
  return (
    <figure class="trend">
      <div
        class="chart"
        data-step={stepMs / 1000}
        data-times={points.map(({ startMs }) => startMs / 1000).join(' ')}
        data-counts={points.map(({ count }) => count).join(' ')}
        data-users={points.map(({ users }) => users ?? '-').join(' ')}
        data-href={props.listHref}
      >
        <div class="chart-still">
          <span class="chart-peak" aria-hidden="true">
            {peak.count > 0 ? number(peak.count) : ''}
          </span>
          <Bars series={props.series} label={`Events over time. ${summary}`} />
          <Axis series={props.series} />
        </div>
      </div>
      <Table series={props.series} />
    </figure>
  )
}

/** The bars of a series as a picture, as wide as there is room. */
export function Bars(props: {
  readonly series: Series
  /** What the picture tells, for those who cannot see it. */
  readonly label: string
  readonly isSmall?: boolean
}) {
  const { points } = props.series
  const most = Math.max(1, ...points.map(({ count }) => count))
  return (
    <svg
      class={props.isSmall === true ? 'bars small' : 'bars'}
      role="img"
      aria-label={props.label}
      viewBox={`0 0 ${points.length} 100`}
      preserveAspectRatio="none"
    >
      {points.map(({ count }, i) => {
        if (count === 0) return null
        const height = Math.max(2, (count / most) * 100)
        return <rect x={i + 0.12} y={100 - height} width={0.76} height={height} />
      })}
    </svg>
  )
}

/** Where a series begins, its middle and where it ends. */
export function Axis({ series }: { readonly series: Series }) {
  const last = series.points.length - 1
  const shown = [...new Set([0, Math.round(last / 2), last])]
  return (
    <div class="chart-axis" aria-hidden="true">
      {shown.map((i) => (
        <span>{bucketLabel(series.points[i]?.startMs ?? 0, series.stepMs)}</span>
      ))}
    </div>
  )
}

function Table({ series }: { readonly series: Series }) {
  const rows = series.points.filter(({ count }) => count > 0)
  if (rows.length === 0) return null
  const hasUsers = rows.every(({ users }) => users !== undefined)
  return (
    <details class="trend-table">
      <summary>The numbers</summary>
      <div class="scroll" tabindex={0} role="region" aria-label="Events over time">
        <table>
          <thead>
            <tr>
              <th scope="col">From (UTC)</th>
              <th scope="col">Events</th>
              {hasUsers && <th scope="col">Users</th>}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ startMs, count, users }) => (
              <tr>
                <th scope="row">{bucketLabel(startMs, series.stepMs)}</th>
                <td>{number(count)}</td>
                {hasUsers && <td>{number(users ?? 0)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  )
}
