import type { Child } from 'hono/jsx'
import type { App } from '../../keys/ring.ts'
import type { StoredEvent } from '../../store/store.ts'
import type { Series } from './buckets.ts'
import { Layout, type Frame } from './layout.tsx'
import { Level } from './list.tsx'
import { eventHref } from './query.ts'
import { Stack } from './stack.tsx'
import { Ago, Text, clip, counted, exact } from './text.tsx'
import { Bars } from './trend.tsx'
import { Breadcrumbs, Metadata, Tags } from './values.tsx'

/** What the page says of other events with the same cause. */
export interface Neighbours {
  /** The newest of the issue around this event, itself included. */
  readonly events: readonly StoredEvent[]
  readonly series: Series
  /** Days before and after this event that were looked at. */
  readonly days: number
}

/** Everything the page of one event shows. */
export interface EventView {
  readonly frame: Frame
  readonly app: App
  readonly event: StoredEvent
  readonly neighbours: Neighbours
  readonly nowMs: number
}

const LEAD_CHARS_MAX = 600

/** One event: what happened, where in the code, and in which circumstances. */
export function EventPage(view: EventView) {
  const { event, app, frame } = view
  return (
    <Layout frame={frame} title={clip(event.code, 80)} script={frame.assets.copy}>
      <p class="back">
        <a href={filterHref(app.id, {})}>← All events</a>
      </p>
      <div class={`event-head level-${event.level}`}>
        <p class="event-line">
          <Level level={event.level} />
          <time datetime={event.timestamp}>{exact(Date.parse(event.timestamp))}</time>
          <span>
            (<Ago iso={event.timestamp} nowMs={view.nowMs} />)
          </span>
        </p>
        <h1>
          <Text value={event.code} />
        </h1>
        <Message message={event.message} />
        <Marks marks={event.marks} />
      </div>
      <div class="columns">
        <div class="stacked">
          <Stack event={event} />
          <Breadcrumbs items={event.breadcrumbs} />
          <Metadata metadata={event.metadata} />
        </div>
        <aside class="stacked" aria-label="Circumstances">
          <Facts event={event} />
          <Tags tags={event.tags} />
          <Issue {...view} />
        </aside>
      </div>
    </Layout>
  )
}

function Message({ message }: { readonly message: string }) {
  if (message === '') return <p class="event-message none">No message.</p>
  const isLong = message.length > LEAD_CHARS_MAX
  return (
    <>
      <p class="event-message">
        <Text value={clip(message, LEAD_CHARS_MAX)} />
      </p>
      {isLong && (
        <details class="whole">
          <summary>The whole message</summary>
          <pre tabindex={0}>
            <Text value={message} />
          </pre>
        </details>
      )}
    </>
  )
}

function Marks({ marks }: { readonly marks: readonly string[] }) {
  if (marks.length === 0) return null
  return (
    <ul class="marks" aria-label="What was changed before storing">
      {marks.map((mark) => {
        const at = mark.lastIndexOf(':')
        return (
          <li>
            <Text value={at < 0 ? mark : `${mark.slice(0, at)} was ${mark.slice(at + 1)}`} />
          </li>
        )
      })}
    </ul>
  )
}

function Facts({ event }: { readonly event: StoredEvent }) {
  const linked = (name: string, value: string) => (
    <a href={filterHref(event.appId, { [name]: value })} title="All events with this value">
      <Text value={value} />
    </a>
  )
  return (
    <section class="card">
      <h2>Circumstances</h2>
      <dl class="pairs">
        <Fact name="Environment">{linked('environment', event.environment)}</Fact>
        {event.appVersion !== '' && (
          <Fact name="Version">{linked('appVersion', event.appVersion)}</Fact>
        )}
        <Fact name="Platform">
          {linked('platform', event.platform)} <Text value={event.platformVersion} />
        </Fact>
        {event.userId !== null && <Fact name="User">{linked('userId', event.userId)}</Fact>}
        <Fact name="Received">{exact(Date.parse(event.receivedAt))}</Fact>
        {event.originalTimestamp !== null && (
          <Fact name="Client’s clock">
            <Text value={event.originalTimestamp} />
          </Fact>
        )}
        {event.traceId !== '' && <Fact name="Trace">{<code>{event.traceId}</code>}</Fact>}
        {event.spanId !== '' && <Fact name="Span">{<code>{event.spanId}</code>}</Fact>}
        <Fact name="Event">
          <code id="event-id">{event.id}</code>
          <button type="button" class="small" data-copy="event-id" hidden>
            Copy
          </button>
        </Fact>
      </dl>
    </section>
  )
}

/** One name and value of a list of pairs. */
function Fact({ name, children }: { readonly name: string; readonly children?: Child }) {
  return (
    <div>
      <dt>
        <Text value={name} />
      </dt>
      <dd>{children}</dd>
    </div>
  )
}

function Issue({ event, neighbours, nowMs }: EventView) {
  if (event.issue === '') return null
  const { points } = neighbours.series
  const total = points.reduce((sum, { count }) => sum + count, 0)
  const others = neighbours.events.filter(({ id }) => id !== event.id).slice(0, 5)
  return (
    <section class="card issue">
      <h2>Issue</h2>
      <p>
        <a href={filterHref(event.appId, { issue: event.issue, range: '90d' })}>
          {counted(total, 'event')} of this cause
        </a>{' '}
        within {neighbours.days} days around this one.
      </p>
      <Bars series={neighbours.series} label="This issue, day by day" isSmall />
      {others.length > 0 && (
        <ul class="others">
          {others.map((other) => (
            <li>
              <a href={eventHref(other.appId, other.id)}>
                <Ago iso={other.timestamp} nowMs={nowMs} />
              </a>
              <Text
                value={clip(
                  [other.appVersion, other.userId ?? ''].filter((fact) => fact !== '').join(' · '),
                  60,
                )}
              />
            </li>
          ))}
        </ul>
      )}
      <dl class="pairs">
        <Fact name="Fingerprint">
          <code>{event.issue}</code>
        </Fact>
        {event.fingerprint.length > 0 && (
          <Fact name="Given by client">
            {event.fingerprint.map((part) => (
              <code class="part">
                <Text value={part} />
              </code>
            ))}
          </Fact>
        )}
      </dl>
    </section>
  )
}

function filterHref(appId: string, filters: Readonly<Record<string, string>>): string {
  return `/?${new URLSearchParams({ appId, ...filters }).toString()}`
}
