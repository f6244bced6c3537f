import { describe, expect, test } from 'vitest'
import { readFile } from 'node:fs/promises'
import { wantsHtml } from '../../src/dashboard/pages/accept.ts'
import { fill, granularityOf } from '../../src/dashboard/pages/buckets.ts'
import { curlFor } from '../../src/dashboard/pages/first.tsx'
import { listHref, readQuery } from '../../src/dashboard/pages/query.ts'
import { ago, clip, plain } from '../../src/dashboard/pages/text.tsx'

const NOW = Date.UTC(2026, 0, 15, 10, 30)
const HOUR = 3_600_000
const DAY = 24 * HOUR
const read = (search: string) => readQuery(new URLSearchParams(search), NOW)

describe('the address of a list', () => {
  test('without anything is the last 24 hours', () => {
    expect(read('')).toMatchObject({
      preset: { name: '24h' },
      range: { startMs: NOW - DAY, endMs: NOW },
      filters: {},
      problems: [],
    })
  })

  test('may give its range itself, with a zone or without one, which is UTC', () => {
    const range = { startMs: Date.UTC(2026, 0, 1, 8), endMs: Date.UTC(2026, 0, 2, 0, 0, 0, 5) }
    const given = [
      'startTime=2026-01-01T08:00&endTime=2026-01-02T00:00:00.005',
      'startTime=2026-01-01T09:00:00%2B01:00&endTime=2026-01-02T00:00:00.005Z',
    ]
    for (const search of given) {
      expect(read(search)).toMatchObject({ range, preset: undefined, problems: [] })
    }
  })

  test.each([
    'startTime=yesterday',
    'endTime=0000-01-01T00:00Z',
    'endTime=9999-12-31T00:00Z',
    'startTime=2026-13-01T00:00Z',
    'startTime=2026-01-02T00:00Z&endTime=2026-01-01T00:00Z',
    'range=century',
    'after=1_nothing',
  ])('that cannot be read says so and falls back: %s', (search) => {
    const query = read(search)
    expect(query.problems).toHaveLength(1)
    expect(query).toMatchObject({ preset: { name: '24h' }, startTime: '', after: undefined })
  })

  test('keeps every filter through a link that changes one, and starts at the newest again', () => {
    const search =
      'range=7d&q=a&code=b&level=c&platform=d&environment=e&appVersion=f&userId=g%26h&issue=i&after=5_550e8400-e29b-41d4-a716-446655440000'
    const href = listHref(read(search), 'my app', { code: '', level: 'x y' })
    const params = Object.fromEntries(new URL(href, 'http://host').searchParams)
    expect(params).toEqual({
      appId: 'my app',
      range: '7d',
      q: 'a',
      level: 'x y',
      platform: 'd',
      environment: 'e',
      appVersion: 'f',
      userId: 'g&h',
      issue: 'i',
    })
  })
})

describe('a trend without gaps', () => {
  const bucket = (ms: number, count: number) => ({
    time: new Date(ms).toISOString(),
    count,
    uniqueCodes: 1,
    affectedUsers: 1,
  })
  const sum = (points: readonly { count: number }[]) =>
    points.reduce((all, { count }) => all + count, 0)

  test('has a point for every hour that the range touches', () => {
    const range = { startMs: NOW - DAY, endMs: NOW }
    const at = NOW - 30 * 60_000
    const { points, stepMs } = fill([bucket(at, 3)], range, 'hour')
    expect(granularityOf(range)).toBe('hour')
    expect([points.length, stepMs, sum(points)]).toEqual([25, HOUR, 3])
    expect(points.at(-1)).toEqual({ startMs: at, count: 3, users: 1 })
  })

  test('loses no event and stays drawable over centuries', () => {
    const range = { startMs: 0, endMs: Date.UTC(2299, 11, 31) }
    const trends = [bucket(Date.UTC(1999, 4, 1), 5), bucket(Date.UTC(2026, 0, 1), 7)]
    const { points } = fill(trends, range, granularityOf(range))
    expect(points.length).toBeLessThanOrEqual(200)
    expect(sum(points)).toBe(12)
  })

  test('of nothing in a huge range is one empty point', () => {
    const { points } = fill([], { startMs: 0, endMs: NOW }, 'day')
    expect(points).toHaveLength(1)
    expect(sum(points)).toBe(0)
  })
})

describe('text of strangers', () => {
  test('shows what turns or hides text by its code point, and leaves joined emoji alone', () => {
    expect(plain('\u202egnp.exe\u0000')).toBe('U+202Egnp.exeU+0000')
    expect(plain('👩‍👩‍👧 na\u200cme\n\tok')).toBe('👩‍👩‍👧 na\u200cme\n\tok')
  })

  test('is never cut inside a character', () => {
    expect(clip('ab😀', 3)).toBe('ab…')
    expect(clip('ab😀', 4)).toBe('ab😀')
  })
})

test('a moment reads in its largest whole unit, also when it lies ahead', () => {
  expect([900, 59_000, 119_000, 3 * HOUR, 50 * DAY].map((ms) => ago(NOW - ms, NOW))).toEqual([
    'just now',
    '59 s ago',
    '1 min ago',
    '3 h ago',
    '50 d ago',
  ])
  expect(ago(NOW + HOUR, NOW)).toBe('in 1 h')
})

test('only a request that names HTML, and not after JSON, is answered with a page', () => {
  const asks = (accept: string) => wantsHtml(new Request('http://host/', { headers: { accept } }))
  expect(asks('text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8')).toBe(true)
  for (const accept of ['*/*', 'application/json', 'text/html;q=0.5,application/json', '']) {
    expect(asks(accept)).toBe(false)
  }
})

test('quotes in an app id cannot leave the quoted words of the command', () => {
  const curl = curlFor({
    origin: 'http://host',
    appId: `a'; touch /tmp/x; '`,
    key: undefined,
    id: 'x',
    nowMs: NOW,
  })
  // Outside of single quotes, a shell only sees curl, its options, and escaped quotes.
  expect(curl.replaceAll(/'[^']*'/g, '').replaceAll(`\\'`, '')).toMatch(/^curl [\s\\]+-H/)
  expect(curl).not.toContain('; touch /tmp/x; \'"')
})

test.each(['light', 'dark'] as const)(
  'every text colour of the %s theme reaches 4.5:1',
  async (theme) => {
    const css = await readFile(
      new URL('../../src/dashboard/assets/page.css', import.meta.url),
      'utf8',
    )
    const blocks = css.match(/:root \{[^}]+\}/g) ?? []
    const colours = new Map(
      [...(blocks[theme === 'light' ? 0 : 1] ?? '').matchAll(/--(\w+): (#\w{6});/g)].map(
        ([, name = '', value = '']) => [name, value],
      ),
    )
    const texts = ['ink', 'soft', 'faint', 'ember', 'fatal', 'error', 'warning', 'info', 'debug']
    const weak = texts.flatMap((text) =>
      ['bg', 'card', 'hover']
        .filter((back) => contrast(colours.get(text) ?? '', colours.get(back) ?? '') < 4.5)
        .map((back) => `${text} on ${back}`),
    )
    expect(weak).toEqual([])
    expect(contrast('#777777', '#ffffff')).toBeLessThan(4.5)
  },
)

/** The contrast ratio of WCAG 2. */
function contrast(one: string, other: string): number {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (high + 0.05) / (low + 0.05)
}

function luminance(hex: string): number {
  const [r = NaN, g = NaN, b = NaN] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
