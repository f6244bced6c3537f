import { LEVELS, PLATFORMS } from '../../occurrence.ts'
import { FILTERS, PRESETS, PRESET_DEFAULT, fieldTime, listHref } from './query.ts'
import type { FilterName, ListQuery } from './query.ts'
import { Text, clip } from './text.tsx'

/** Values that are known to occur, offered while typing. */
export type Suggestions = Readonly<Partial<Record<FilterName, readonly string[]>>>

const LABELS = {
  q: 'Text',
  code: 'Code',
  level: 'Level',
  platform: 'Platform',
  environment: 'Environment',
  appVersion: 'Version',
  userId: 'User',
  issue: 'Issue',
} as const satisfies Record<FilterName, string>

/** The ranges as links, the current one marked. */
export function Ranges(props: {
  readonly query: ListQuery
  /** The address of the same page with some things of its query changed. */
  readonly hrefOf: (changes: Readonly<Record<string, string>>) => string
}) {
  const { query, hrefOf } = props
  return (
    <nav class="ranges" aria-label="Time range">
      {PRESETS.map((preset) => (
        <a
          href={hrefOf({
            range: preset === PRESET_DEFAULT ? '' : preset.name,
            startTime: '',
            endTime: '',
          })}
          title={`Show ${preset.title}`}
          aria-current={query.preset === preset ? 'true' : undefined}
        >
          {preset.label}
        </a>
      ))}
      {query.preset === undefined && (
        <a href="#range" aria-current="true">
          Custom
        </a>
      )}
    </nav>
  )
}

/** All filters as a form that works without a script, and the active ones as chips that take them away. */
export function Filters(props: {
  readonly query: ListQuery
  readonly appId: string
  readonly suggestions: Suggestions
}) {
  const { query, appId, suggestions } = props
  return (
    <search class="filters">
      <form method="get" action="/">
        <input type="hidden" name="appId" value={appId} />
        {query.preset && query.preset !== PRESET_DEFAULT && (
          <input type="hidden" name="range" value={query.preset.name} />
        )}
        <div class="filters-first">
          <input
            type="search"
            name="q"
            value={query.filters.q ?? ''}
            placeholder="Search in messages and codes"
            aria-label="Text in message or code"
            maxlength={500}
          />
          <Choice name="level" values={LEVELS} query={query} />
          <Choice name="platform" values={PLATFORMS} query={query} />
          <button type="submit">Filter</button>
        </div>
        <More query={query} suggestions={suggestions} />
      </form>
      <Chips query={query} appId={appId} />
    </search>
  )
}

function Choice(props: {
  readonly name: FilterName
  readonly values: readonly string[]
  readonly query: ListQuery
}) {
  const chosen = props.query.filters[props.name]
  // A value that is in the address but not in the list stays chosen, or the form would change the filter.
  const values =
    chosen === undefined || props.values.includes(chosen) ? props.values : [...props.values, chosen]
  return (
    <select name={props.name} aria-label={LABELS[props.name]}>
      <option value="">{`Any ${LABELS[props.name].toLowerCase()}`}</option>
      {values.map((value) => (
        <option value={value} selected={value === chosen}>
          {clip(value, 40)}
        </option>
      ))}
    </select>
  )
}

function More(props: { readonly query: ListQuery; readonly suggestions: Suggestions }) {
  const { query, suggestions } = props
  return (
    <details class="filters-more" id="range" open={query.problems.length > 0}>
      <summary>More filters and a range of your own</summary>
      <div class="fields">
        {(['code', 'environment', 'appVersion', 'userId', 'issue'] as const).map((name) => (
          <label>
            <span>{LABELS[name]}</span>
            <input
              type="text"
              name={name}
              value={query.filters[name] ?? ''}
              list={suggestions[name] ? `known-${name}` : undefined}
              maxlength={1024}
              autocomplete="off"
              spellcheck={false}
            />
            {suggestions[name] && (
              <datalist id={`known-${name}`}>
                {suggestions[name].map((value) => (
                  <option value={value}></option>
                ))}
              </datalist>
            )}
          </label>
        ))}
        <RangeField name="startTime" label="From (UTC)" query={query} ms={query.range.startMs} />
        <RangeField name="endTime" label="To (UTC)" query={query} ms={query.range.endMs} />
      </div>
    </details>
  )
}

function RangeField(props: {
  readonly name: 'startTime' | 'endTime'
  readonly label: string
  readonly query: ListQuery
  readonly ms: number
}) {
  const isGiven = props.query[props.name] !== ''
  return (
    <label>
      <span>{props.label}</span>
      <input
        type="datetime-local"
        name={props.name}
        value={isGiven ? fieldTime(props.ms) : ''}
        min="1970-01-01T00:00"
        max="2299-12-31T00:00"
        step="any"
      />
    </label>
  )
}

function Chips({ query, appId }: { readonly query: ListQuery; readonly appId: string }) {
  const active = FILTERS.filter((name) => query.filters[name] !== undefined)
  if (active.length === 0) return null
  const none = Object.fromEntries(active.map((name) => [name, '']))
  return (
    <ul class="chips" aria-label="Active filters">
      {active.map((name) => (
        <li>
          <a
            href={listHref(query, appId, { [name]: '' })}
            aria-label={`Remove the filter ${LABELS[name]}`}
          >
            <span>{LABELS[name]}</span>
            <b>
              <Text value={clip(query.filters[name] ?? '', 120)} />
            </b>
            <i aria-hidden="true">×</i>
          </a>
        </li>
      ))}
      {active.length > 1 && (
        <li>
          <a class="clear" href={listHref(query, appId, none)}>
            Clear all
          </a>
        </li>
      )}
    </ul>
  )
}
