import type { App } from '../../keys/ring.ts'
import type { EventPage, StoredEvent } from '../../store/store.ts'
import type { Series } from './buckets.ts'
import { Codes, type CodeCount } from './codes.tsx'
import { FirstEvent } from './first.tsx'
import { Filters, Ranges, type Suggestions } from './filters.tsx'
import { Layout, type Frame } from './layout.tsx'
import { cursorOf, eventHref, listHref, type ListQuery } from './query.ts'
import { Ago, Text, clip, counted, exact, number } from './text.tsx'
import { Trend } from './trend.tsx'

/** Everything the list page shows. */
export interface ListView {
  readonly frame: Frame
  readonly app: App
  readonly query: ListQuery
  readonly page: EventPage
  readonly series: Series
  readonly codes: readonly CodeCount[]
  /** Whether the app has no event at all, in any range. */
  readonly isNew: boolean
  /** The command that sends this app's first event. */
  readonly curl: string
  readonly nowMs: number
}

/** The first page: how much, when, which codes, and every event, newest first. */
export function ListPage(view: ListView) {
  const { frame, app, query } = view
  if (view.isNew) {
    return (
      <Layout frame={frame} title={app.name} script={frame.assets.copy}>
        <FirstEvent app={app} curl={view.curl} />
      </Layout>
    )
  }
  return (
    <Layout frame={frame} title={app.name} script={frame.assets.trend}>
      <div class="headline">
        <Headline {...view} />
        <Ranges query={query} hrefOf={(changes) => listHref(query, app.id, changes)} />
      </div>
      <section class="card" aria-label="Trend">
        <Trend
          series={view.series}
          listHref={listHref(query, app.id, { range: '', startTime: '', endTime: '' })}
        />
      </section>
      <Filters query={query} appId={app.id} suggestions={suggestions(view)} />
      {query.problems.map((problem) => (
        <p class="problem" role="alert">
          {problem}
        </p>
      ))}
      <div class="columns">
        <section aria-labelledby="events-title">
          <h2 id="events-title">Events</h2>
          <Events {...view} />
        </section>
        <aside aria-labelledby="codes-title">
          <Codes codes={view.codes} query={query} appId={app.id} />
        </aside>
      </div>
    </Layout>
  )
}

function Headline(view: ListView) {
  const total = view.series.points.reduce((sum, { count }) => sum + count, 0)
  const { range, preset } = view.query
  const isFiltered = Object.keys(view.query.filters).length > 0
  return (
    <h1>
      <strong>{number(total)}</strong> {isFiltered ? 'matching ' : ''}
      {total === 1 ? 'event' : 'events'}
      <small>
        {preset ? ` in ${preset.title}` : ` from ${exact(range.startMs)} to ${exact(range.endMs)}`}
      </small>
    </h1>
  )
}

function Events(view: ListView) {
  const { page, query, app } = view
  const last = page.events.at(-1)
  if (last === undefined) return <NoMatch query={query} appId={app.id} />
  return (
    <>
      <ul class="card events">
        {page.events.map((event) => (
          <Row event={event} nowMs={view.nowMs} />
        ))}
      </ul>
      <nav class="pager" aria-label="Pages of events">
        {query.after ? <a href={listHref(query, app.id)}>← Newest</a> : <span></span>}
        <span>{counted(page.events.length, 'event')} on this page</span>
        {page.hasMore ? (
          <a href={listHref(query, app.id, { after: cursorOf(last) })} rel="next">
            Older →
          </a>
        ) : (
          <span>the end</span>
        )}
      </nav>
    </>
  )
}

function Row({ event, nowMs }: { readonly event: StoredEvent; readonly nowMs: number }) {
  const facts = [
    event.environment,
    event.appVersion,
    `${event.platform} ${event.platformVersion}`.trim(),
    event.userId ?? '',
  ].filter((fact) => fact !== '')
  return (
    <li class={`row level-${event.level}`}>
      <div class="row-head">
        <a class="row-link" href={eventHref(event.appId, event.id)}>
          <Text value={event.code} />
        </a>
        <Level level={event.level} />
        <Ago iso={event.timestamp} nowMs={nowMs} />
      </div>
      <p class="row-message">
        <Text value={clip(event.message, 300)} />
      </p>
      <ul class="facts">
        {facts.map((fact) => (
          <li>
            <Text value={clip(fact, 60)} />
          </li>
        ))}
      </ul>
    </li>
  )
}

/** How bad it was, as a word and a colour. */
export function Level({ level }: { readonly level: string }) {
  return <span class={`level level-${level}`}>{level}</span>
}

function NoMatch({ query, appId }: { readonly query: ListQuery; readonly appId: string }) {
  const names = Object.keys(query.filters)
  const without = Object.fromEntries(names.map((name) => [name, '']))
  return (
    <div class="card nothing">
      <h3>Nothing here</h3>
      <p>
        {names.length > 0
          ? 'No event in this range matches all of these filters.'
          : 'No event in this range, though there are events at other times.'}
      </p>
      <p class="actions">
        {names.length > 0 && <a href={listHref(query, appId, without)}>Clear the filters</a>}
        {query.preset?.name !== '90d' && (
          <a href={listHref(query, appId, { range: '90d', startTime: '', endTime: '' })}>
            Look at the last 90 days
          </a>
        )}
      </p>
    </div>
  )
}

/** What is known to occur, from what the page shows anyway. */
function suggestions({ page, codes }: ListView): Suggestions {
  const seen = (values: readonly (string | null)[]) => [
    ...new Set(values.filter((value) => value !== null && value !== '')),
  ]
  return {
    code: codes.slice(0, 100).map(({ code }) => code),
    environment: seen(page.events.map(({ environment }) => environment)).filter(isText),
    appVersion: seen(page.events.map(({ appVersion }) => appVersion)).filter(isText),
  }
}

function isText(value: string | null): value is string {
  return value !== null
}
