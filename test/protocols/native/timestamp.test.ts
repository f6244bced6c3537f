import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { native } from '../../../src/protocols/native/index.ts'
import { parseTimestamp } from '../../../src/protocols/native/timestamp.ts'
import { anEvent, NOW_MS } from '../../http/support/intake.ts'

test.each([
  ['2024-01-15T10:30:00.000Z', Date.UTC(2024, 0, 15, 10, 30)],
  ['2024-01-15T10:30:00Z', Date.UTC(2024, 0, 15, 10, 30)],
  ['2024-01-15T10:30Z', Date.UTC(2024, 0, 15, 10, 30)],
  ['2024-01-15t10:30:00z', Date.UTC(2024, 0, 15, 10, 30)],
  ['2024-01-15 10:30:00Z', Date.UTC(2024, 0, 15, 10, 30)],
  ['2024-01-15T12:30:00+02:00', Date.UTC(2024, 0, 15, 10, 30)],
  ['2024-01-15T12:30:00+0200', Date.UTC(2024, 0, 15, 10, 30)],
  ['2024-01-15T12:30:00+02', Date.UTC(2024, 0, 15, 10, 30)],
  ['2024-01-15T05:00:00-05:30', Date.UTC(2024, 0, 15, 10, 30)],
  ['2024-01-15T10:30:00.5Z', Date.UTC(2024, 0, 15, 10, 30, 0, 500)],
  ['2024-01-15T10:30:00,123456789Z', Date.UTC(2024, 0, 15, 10, 30, 0, 123)],
  ['2024-02-29T00:00:00.000Z', Date.UTC(2024, 1, 29)],
  ['1970-01-01T00:00:00.000Z', 0],
  ['1970-01-01T01:00:00+01:00', 0],
  ['9999-12-31T23:59:59.999Z', 253_402_300_799_999],
])('%s is understood', (text, ms) => {
  expect(parseTimestamp(text)).toBe(ms)
})

test.each([
  '',
  'now',
  '2024',
  '2024-01-15',
  '2024-01-15T10:30:00',
  '15.01.2024 10:30Z',
  '1705314600',
  '2024-13-01T00:00:00Z',
  '2024-00-01T00:00:00Z',
  '2024-01-32T00:00:00Z',
  '2024-02-30T00:00:00.000Z',
  '2023-02-29T00:00:00.000Z',
  '2100-02-29T00:00:00Z',
  '2024-04-31T00:00:00Z',
  '2024-01-15T25:00:00Z',
  '2024-01-15T10:60:00Z',
  '2024-01-15T10:30:61Z',
  '2024-01-15T10:30:00+25:00',
  '2024-01-15T10:30:00Zx',
  '1969-12-31T23:59:59.999Z',
  '1970-01-01T00:00:00+01:00',
  '0000-01-01T00:00:00Z',
  '0001-01-01T00:00:00.000Z',
  '1900-01-01T00:00:00Z',
  '+010000-01-01T00:00:00Z',
  '-000001-01-01T00:00:00Z',
  '٢٠٢٤-01-15T10:30:00Z',
])('%j is not', (text) => {
  expect(parseTimestamp(text)).toBeUndefined()
})

test('every instant from 1970 to 9999 is read back to the millisecond, in any zone', () => {
  const instant = fc.integer({ min: 86_400_000, max: 253_402_200_000_000 })
  fc.assert(
    fc.property(instant, fc.integer({ min: -1_439, max: 1_439 }), (ms, minutes) => {
      expect(parseTimestamp(new Date(ms).toISOString())).toBe(ms)
      const local = new Date(ms + minutes * 60_000).toISOString().slice(0, -1)
      const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60]
      const two = (value: number) => String(value).padStart(2, '0')
      expect(parseTimestamp(`${local}${minutes < 0 ? '-' : '+'}${two(hours)}:${two(rest)}`)).toBe(
        ms,
      )
    }),
  )
})

test('any text is a date or none, quickly', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), (text) => {
      const ms = parseTimestamp(text)
      expect(ms === undefined || ms >= 0).toBe(true)
    }),
  )
})

describe('a clock that is ahead', () => {
  function timesOf(aheadMs: number) {
    const events = [anEvent({ timestamp: new Date(NOW_MS + aheadMs).toISOString() })]
    const body = new TextEncoder().encode(JSON.stringify({ events }))
    const request = new Request('http://localhost/api/v1/ingest')
    const post = { request, body, appId: 'test-app', receivedAtMs: NOW_MS, eventsMax: 1 }
    const [occurrence] = native.decode(post).occurrences
    return [occurrence?.timestampMs, occurrence?.originalTimestampMs]
  }

  test('by an hour is believed', () => {
    expect(timesOf(3_600_000)).toEqual([NOW_MS + 3_600_000, undefined])
  })

  test('by more is not, and what it said is kept', () => {
    expect(timesOf(3_600_001)).toEqual([NOW_MS, NOW_MS + 3_600_001])
  })
})
