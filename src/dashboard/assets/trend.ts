import './language.ts'
import uPlot from 'uplot'

// Draws the trend where the server left a still picture, from the numbers beside it. Pointing at a bar tells
// its numbers; a selection with the mouse becomes the range of the list.

interface Trend {
  readonly stepSeconds: number
  /** Starts of the buckets in seconds since the epoch. */
  readonly times: number[]
  readonly counts: number[]
  /** NaN where users are not known. */
  readonly users: number[]
  /** The list without a range. */
  readonly href: string
}

const HEIGHT_PX = 190
const DAY_SECONDS = 86_400

for (const place of document.querySelectorAll<HTMLElement>('.chart')) start(place)

function start(place: HTMLElement): void {
  const trend = readTrend(place.dataset)
  const tip = document.createElement('div')
  tip.className = 'tip'
  tip.hidden = true
  let chart = draw(place, tip, trend)
  place.classList.add('drawn')
  place.append(tip)
  new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: HEIGHT_PX })).observe(
    place,
  )
  // The canvas holds colours, not names of colours.
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    chart.destroy()
    chart = draw(place, tip, trend)
  })
}

function readTrend(data: DOMStringMap): Trend {
  const numbers = (name: string) => (data[name] ?? '').split(' ').map(Number)
  return {
    stepSeconds: Number(data['step']),
    times: numbers('times'),
    counts: numbers('counts'),
    users: numbers('users'),
    href: data['href'] ?? '/',
  }
}

function draw(place: HTMLElement, tip: HTMLElement, trend: Trend): uPlot {
  const style = getComputedStyle(place)
  const colour = (name: string) => style.getPropertyValue(name).trim()
  const font = `12px ${style.fontFamily}`
  const { stepSeconds } = trend
  const axis = { stroke: colour('--soft'), font, ticks: { show: false } }
  const options: uPlot.Options = {
    width: place.clientWidth,
    height: HEIGHT_PX,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    padding: [10, 8, 0, 0],
    scales: {
      x: {
        time: true,
        range: () => [
          (trend.times[0] ?? 0) - stepSeconds / 2,
          (trend.times.at(-1) ?? 0) + stepSeconds / 2,
        ],
      },
      y: { range: (_, __, most) => [0, Math.max(most * 1.05, 4)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        space: 70,
        values: (_, ticks) => ticks.map((tick, i) => label(tick, ticks[i - 1], trend.stepSeconds)),
      },
      {
        ...axis,
        grid: { stroke: colour('--line'), width: 1 },
        space: 40,
        size: 48,
        incrs: [
          1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7,
          1e8, 1e9,
        ],
        values: (_, ticks) =>
          ticks.map((tick) => tick.toLocaleString('en-US', { notation: 'compact' })),
      },
    ],
    series: [
      {},
      {
        fill: colour('--bar'),
        width: 0,
        points: { show: false },
        ...(uPlot.paths.bars && { paths: uPlot.paths.bars({ size: [0.78, 48], radius: 0.12 }) }),
      },
    ],
    hooks: {
      setCursor: [(chart) => point(chart, tip, trend)],
      setSelect: [(chart) => select(chart, trend)],
    },
  }
  return new uPlot(options, [trend.times, trend.counts], place)
}

/** The date where it changes, else the time of day. */
function label(tick: number, before: number | undefined, stepSeconds: number): string {
  const date = new Date(tick * 1000)
  const day = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })
  if (stepSeconds >= DAY_SECONDS) return day
  const isNewDay =
    before === undefined || new Date(before * 1000).getUTCDate() !== date.getUTCDate()
  const time = date.toISOString().slice(11, 16)
  return isNewDay ? (time === '00:00' ? day : `${time}\n${day}`) : time
}

function point(chart: uPlot, tip: HTMLElement, trend: Trend): void {
  const i = chart.cursor.idx
  const left = chart.cursor.left ?? -1
  if (i === null || i === undefined || left < 0) {
    tip.hidden = true
    return
  }
  const count = trend.counts[i] ?? 0
  const users = trend.users[i]
  const start = new Date((trend.times[i] ?? 0) * 1000).toISOString()
  const when =
    trend.stepSeconds < DAY_SECONDS
      ? `${start.slice(0, 10)} ${start.slice(11, 16)}`
      : start.slice(0, 10)
  const strong = document.createElement('b')
  strong.textContent = `${count.toLocaleString('en-US')} ${count === 1 ? 'event' : 'events'}`
  const more =
    users && count > 0 ? `, ${users.toLocaleString('en-US')} ${users === 1 ? 'user' : 'users'}` : ''
  tip.replaceChildren(strong, more, document.createElement('br'), `${when} UTC`)
  tip.hidden = false
  const middle = chart.bbox.left / devicePixelRatio + chart.valToPos(trend.times[i] ?? 0, 'x')
  const room = chart.width - tip.offsetWidth
  tip.style.transform = `translateX(${Math.max(0, Math.min(room, middle - tip.offsetWidth / 2))}px)`
}

function select(chart: uPlot, trend: Trend): void {
  if (chart.select.width < 4) return
  const buckets = [chart.select.left, chart.select.left + chart.select.width].map((px) =>
    chart.posToIdx(px),
  )
  const first = trend.times[Math.min(...buckets)]
  const last = trend.times[Math.max(...buckets)]
  if (first === undefined || last === undefined) return
  const address = new URL(trend.href, location.href)
  address.searchParams.set('startTime', new Date(first * 1000).toISOString())
  address.searchParams.set('endTime', new Date((last + trend.stepSeconds) * 1000 - 1).toISOString())
  location.assign(address)
}
