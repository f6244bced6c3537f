import type { Json, JsonObject } from '../../occurrence.ts'
import { Text, number } from './text.tsx'

/** Tags in the order of their names. */
export function Tags({ tags }: { readonly tags: Readonly<Record<string, string>> }) {
  const pairs = Object.entries(tags).sort(([a], [b]) => (a < b ? -1 : 1))
  if (pairs.length === 0) return null
  return (
    <section class="card">
      <h2>Tags</h2>
      <dl class="pairs">
        {pairs.map(([name, value]) => (
          <div>
            <dt>
              <Text value={name} />
            </dt>
            <dd>
              <Text value={value} />
            </dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

/** Metadata: one line per field, objects and lists as indented JSON. */
export function Metadata({ metadata }: { readonly metadata: JsonObject }) {
  const fields = Object.entries(metadata)
  if (fields.length === 0) return null
  return (
    <section class="card">
      <h2>Metadata</h2>
      <dl class="pairs wide">
        {fields.map(([name, value]) => (
          <div>
            <dt>
              <Text value={name} />
            </dt>
            <dd>
              <Value value={value} />
            </dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

/** What led to the event, oldest first; the event itself closes the list. */
export function Breadcrumbs({ items }: { readonly items: readonly Json[] }) {
  if (items.length === 0) return null
  return (
    <section class="card">
      <h2>
        What happened before <small>{number(items.length)}, oldest first</small>
      </h2>
      <ol class="crumbs">
        {items.map((item) => (
          <Breadcrumb item={item} />
        ))}
      </ol>
    </section>
  )
}

function Breadcrumb({ item }: { readonly item: Json }) {
  if (!isObject(item)) {
    return (
      <li>
        <div class="crumb-text">
          <Value value={item} />
        </div>
      </li>
    )
  }
  const { timestamp, category, type, level, message, ...rest } = item
  const kind = [category, type].find((one) => typeof one === 'string' && one !== '')
  return (
    <li>
      <span class="crumb-time">
        <Text value={clock(timestamp)} />
      </span>
      <span class="crumb-kind">
        <Text value={typeof kind === 'string' ? kind : 'event'} />
        {typeof level === 'string' && level !== 'info' && (
          <em>
            <Text value={level} />
          </em>
        )}
      </span>
      <div class="crumb-text">
        {message !== undefined && <Value value={message} />}
        {Object.keys(rest).length > 0 && (
          <code class="crumb-rest">
            <Text value={JSON.stringify(rest)} />
          </code>
        )}
      </div>
    </li>
  )
}

/** The time of day where it is one: an ISO text, or seconds or milliseconds since the epoch. */
function clock(timestamp: Json | undefined): string {
  if (timestamp === undefined || timestamp === null) return ''
  const ms =
    typeof timestamp === 'number'
      ? timestamp * (timestamp < 1e11 ? 1000 : 1)
      : Date.parse(typeof timestamp === 'string' ? timestamp : '')
  if (!(Math.abs(ms) <= 8.64e15)) return JSON.stringify(timestamp)
  return new Date(ms).toISOString().slice(11, 19)
}

function Value({ value }: { readonly value: Json }) {
  if (typeof value === 'string') return <Text value={value} />
  if (value === null || typeof value !== 'object') return <code>{String(value)}</code>
  const text = JSON.stringify(value, null, 2)
  if (text.length <= 2) return <code>{text}</code>
  return (
    <pre tabindex={0}>
      <Text value={text} />
    </pre>
  )
}

function isObject(value: Json): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
