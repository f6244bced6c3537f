import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { definitionOf, type MetricName } from './metrics.ts'

function common(name: MetricName, registers: Registry[]) {
  const { help, labels = {} } = definitionOf(name)
  return { name, help, labelNames: Object.keys(labels), registers }
}

/** A counter of up to three labels; adding costs a few lookups, and hashes nothing. */
export interface Tally {
  readonly add: (a: string, b: string, c: string, by: number) => void
}

/** Makes one; labels that it has not are given as empty texts. */
export function tally(name: MetricName, registers: Registry[]): Tally {
  const sums = new Map<string, Map<string, Map<string, number>>>()
  const labelNames = Object.keys(definitionOf(name).labels ?? {})
  new Counter({
    ...common(name, registers),
    collect() {
      this.reset()
      for (const [a, ofA] of sums) {
        for (const [b, ofB] of ofA) {
          for (const [c, sum] of ofB) {
            const labels = Object.fromEntries(
              labelNames.map((label, i) => [label, [a, b, c][i] ?? '']),
            )
            this.inc(labels, sum)
          }
        }
      }
    },
  })
  return {
    add(a, b, c, by) {
      let ofA = sums.get(a)
      if (ofA === undefined) sums.set(a, (ofA = new Map<string, Map<string, number>>()))
      let ofB = ofA.get(b)
      if (ofB === undefined) ofA.set(b, (ofB = new Map<string, number>()))
      ofB.set(c, (ofB.get(c) ?? 0) + by)
    },
  }
}

/** A histogram of up to two labels, which costs a tenth of prom-client's own to observe. */
export interface Distribution {
  /** `trace` names a trace that shows such a value; OpenMetrics gives it as an exemplar. */
  readonly observe: (a: string, b: string, value: number, trace?: string) => void
}

interface Exemplar {
  readonly labelSet: { readonly trace_id: string }
  readonly value: number
  readonly timestamp: number
}
interface Series {
  readonly labels: Readonly<Record<string, string>>
  readonly counts: number[]
  readonly exemplars: (Exemplar | undefined)[]
  sum: number
  count: number
}

/** Makes one; labels that it has not are given as empty texts. */
export function distribution(name: MetricName, registers: Registry[]): Distribution {
  const { help, buckets = [] } = definitionOf(name)
  const given = common(name, [])
  const bounds = [...buckets, Infinity]
  const series = new Map<string, Map<string, Series>>()
  const values = () =>
    [...series.values()].flatMap((ofA) =>
      [...ofA.values()].flatMap((one) => valuesOf(name, bounds, one)),
    )
  // Its own counting is left aside; the registry reads this one's numbers in its place.
  const metric = Object.assign(new Histogram({ ...given, buckets: [...buckets] }), {
    getForPromString: () =>
      Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values: values() }),
  })
  for (const registry of registers) registry.registerMetric(metric)

  function seriesOf(a: string, b: string): Series {
    let ofA = series.get(a)
    if (ofA === undefined) series.set(a, (ofA = new Map<string, Series>()))
    let one = ofA.get(b)
    if (one === undefined) {
      const labels = Object.fromEntries(
        given.labelNames.map((label, i) => [label, [a, b][i] ?? '']),
      )
      one = { labels, counts: bounds.map(() => 0), exemplars: [], sum: 0, count: 0 }
      ofA.set(b, one)
    }
    return one
  }

  return {
    observe(a, b, value, trace) {
      const one = seriesOf(a, b)
      let at = 0
      while (value > (bounds[at] ?? Infinity)) at += 1
      one.counts[at] = (one.counts[at] ?? 0) + 1
      one.sum += value
      one.count += 1
      if (trace === undefined) return
      one.exemplars[at] = { labelSet: { trace_id: trace }, value, timestamp: Date.now() / 1_000 }
    },
  }
}

function valuesOf(
  name: string,
  bounds: readonly number[],
  { labels, counts, exemplars, sum, count }: Series,
) {
  let below = 0
  const buckets = bounds.map((bound, at) => {
    below += counts[at] ?? 0
    const le = bound === Infinity ? '+Inf' : String(bound)
    const exemplar = exemplars[at]
    return {
      metricName: `${name}_bucket`,
      labels: { ...labels, le },
      value: below,
      ...(exemplar !== undefined && { exemplar }),
    }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ]
}

/** Registers a gauge that is read at each scrape; undefined leaves it out of that scrape. */
export function gauge(
  name: MetricName,
  registers: Registry[],
  read: () => number | undefined,
): void {
  new Gauge({
    ...common(name, registers),
    collect() {
      const value = read()
      if (value === undefined) this.remove()
      else this.set(value)
    },
  })
}

/** Registers a counter that is read at each scrape: the totals of each value of its one label, or of `''`. */
export function total(
  name: MetricName,
  registers: Registry[],
  read: () => Readonly<Record<string, number>>,
): void {
  const definition = common(name, registers)
  const [label] = definition.labelNames
  new Counter({
    ...definition,
    collect() {
      this.reset()
      for (const [value, count] of Object.entries(read())) {
        this.inc(label === undefined ? {} : { [label]: value }, count)
      }
    },
  })
}

/** A counter with labels that is seldom added to. */
export function counter(name: MetricName, registers: Registry[]): Counter {
  return new Counter(common(name, registers))
}
