import { expect, test } from 'vitest'
import { decodeKeys, encodeKeys } from '../../../src/node/spool/seal-keys.ts'

const keysOf = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    appId: ['shop', 'käse-app', ''][Math.floor(i / 7) % 3] ?? '',
    id: crypto.randomUUID(),
  }))

test.each([0, 1, 25_000, 25_001, 60_000])('%i keys come back in order', (count) => {
  const keys = keysOf(count)
  const bodies = encodeKeys(7, keys)
  expect(bodies.flatMap(decodeKeys)).toEqual(keys)
  for (const body of bodies) {
    expect(body.readUIntLE(0, 6)).toBe(7)
    expect(body.length).toBeLessThan(1_000_000) // What the log takes as one record.
  }
})

test('keys of many apps with long names stay within what the log takes as one record', () => {
  const keys = Array.from({ length: 9_000 }, (_, i) => ({
    appId: `${'ü'.repeat(190)}${i}`,
    id: crypto.randomUUID(),
  }))
  const bodies = encodeKeys(1, keys)
  for (const body of bodies) expect(body.length).toBeLessThan(1_000_000)
  expect(bodies.flatMap(decodeKeys)).toEqual(keys)
})

test('a body that is cut anywhere gives the keys before, and does not throw', () => {
  const [body = Buffer.alloc(0)] = encodeKeys(1, keysOf(20))
  for (let length = 0; length < body.length; length += 1) {
    expect(decodeKeys(body.subarray(0, length)).length).toBeLessThan(20)
  }
})
