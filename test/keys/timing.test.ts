import { expect, test } from 'vitest'
import { createKeys } from '../../src/keys/keys.ts'
import { makeKey } from '../../src/keys/token.ts'

const RIGHT = makeKey('ingest')
const settings = Array.from({ length: 500 }, () => makeKey('ingest'))
const keys = createKeys({
  apps: [
    {
      id: 'shop',
      name: 'Shop',
      keys: [RIGHT, ...settings].map((key) => ({ key, scopes: ['ingest'], revoked: false })),
    },
  ],
  developmentMode: false,
  developmentKey: 'ei_test_key_12345',
  nowMs: () => 0,
})

/** A key that shares its first `right` characters with the right one, and has its length. */
function wrongAfter(right: number): string {
  return RIGHT.slice(0, right) + '_'.repeat(RIGHT.length - right)
}

const LOOKUPS = 200

function microsecondsPerLookup(key: string): number {
  const start = performance.now()
  for (let i = 0; i < LOOKUPS; i += 1) {
    try {
      keys.admit(key, 'read') // Even the right key is refused, so that all pay for a refusal.
    } catch {
      continue
    }
  }
  return ((performance.now() - start) * 1_000) / LOOKUPS
}

/** Of many runs the quiet ones: what else the machine did only ever adds time. */
function quiet(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 10)] ?? 0
}

test('the time for a wrong key says nothing about how much of it is right', () => {
  const guesses = [0, 10, 25, 40, RIGHT.length - 1].map(wrongAfter)
  const times = guesses.map((): number[] => [])
  // Taken in turns, so that a machine that slows down slows all of them down.
  for (let round = 0; round < 60; round += 1) {
    guesses.forEach((guess, i) => times[i]?.push(microsecondsPerLookup(guess)))
  }
  const typical = times.map(quiet)
  expect(Math.max(...typical) / Math.min(...typical)).toBeLessThan(1.3)
})

test('a known key is found in under 20 µs', () => {
  const times = Array.from({ length: 60 }, () => {
    const start = performance.now()
    for (let i = 0; i < LOOKUPS; i += 1) keys.admit(RIGHT, 'ingest')
    return ((performance.now() - start) * 1_000) / LOOKUPS
  })
  expect(quiet(times)).toBeLessThan(20)
})
