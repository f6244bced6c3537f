import { listHref, type ListQuery } from './query.ts'
import { Text, clip, number } from './text.tsx'

/** A code and how many events of the range carry it. */
export interface CodeCount {
  readonly code: string
  readonly count: number
}

const SHOWN_MAX = 20

/** Codes of the range, most first; each filters by itself, the chosen one takes its filter away. */
export function Codes(props: {
  readonly codes: readonly CodeCount[]
  readonly query: ListQuery
  readonly appId: string
}) {
  const { codes } = props
  const most = codes[0]?.count ?? 1
  return (
    <>
      <h2 id="codes-title">
        Codes <small>{number(codes.length)} in this range</small>
      </h2>
      {codes.length === 0 ? (
        <p class="card nothing">No codes.</p>
      ) : (
        <div class="card">
          <ol class="codes">
            {codes.slice(0, SHOWN_MAX).map((one) => (
              <Code one={one} most={most} query={props.query} appId={props.appId} />
            ))}
          </ol>
          {codes.length > SHOWN_MAX && (
            <details class="codes-rest">
              <summary>{`${number(Math.min(codes.length, 500) - SHOWN_MAX)} more`}</summary>
              <ol class="codes">
                {codes.slice(SHOWN_MAX, 500).map((one) => (
                  <Code one={one} most={most} query={props.query} appId={props.appId} />
                ))}
              </ol>
            </details>
          )}
        </div>
      )}
    </>
  )
}

function Code(props: {
  readonly one: CodeCount
  readonly most: number
  readonly query: ListQuery
  readonly appId: string
}) {
  const { code, count } = props.one
  const isChosen = props.query.filters.code === code
  return (
    <li>
      <a
        href={listHref(props.query, props.appId, { code: isChosen ? '' : code })}
        aria-current={isChosen ? 'true' : undefined}
      >
        <span class="code-name">
          <Text value={clip(code, 120)} />
        </span>
        <span class="code-count">{number(count)}</span>
        {/* A drawn width, because the content security policy forbids style attributes. */}
        <svg class="code-bar" aria-hidden="true">
          <rect width={`${Math.max(1, (count / props.most) * 100).toFixed(1)}%`} height="100%" />
        </svg>
      </a>
    </li>
  )
}
