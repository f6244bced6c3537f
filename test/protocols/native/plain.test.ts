import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NativeEvent } from '../../../src/protocols/native/event.ts'
import { toOccurrence } from '../../../src/protocols/native/normalise.ts'
import { plainOccurrence } from '../../../src/protocols/native/plain.ts'
import { isShared } from '../../../src/same-frames.ts'
import { anEvent, NOW_MS } from '../../http/support/intake.ts'

/** Values that stand at each side of what a field takes. */
const VALUES: readonly unknown[] = [
  undefined,
  null,
  '',
  'web',
  'fatal',
  'x'.repeat(341),
  'x'.repeat(342),
  'x'.repeat(1_366),
  'é'.repeat(3_000),
  'x'.repeat(22_000),
  0,
  -1.5,
  true,
  [],
  ['a', 'b'],
  ['a', 1],
  Array(33).fill('p'),
  {},
  { a: 'b' },
  { a: { b: [1, { c: null }] } },
  JSON.parse('{"__proto__": "x"}'),
  Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`t${i}`, 'v'])),
  Array(101).fill({ message: 'm' }),
  '2024-02-29T10:30:00.000Z',
  '2024-02-30T10:30:00.000Z',
  '1969-12-31T23:59:59.999Z',
  '2024-01-15T24:00:00.000Z',
  '2024-01-15 10:30:00+02:00',
  '2999-01-15T10:30:00.000Z',
  '550E8400-E29B-41D4-A716-446655440000',
  '550e8400-e29b-41d4-a716-44665544000g',
  '550e8400e29b41d4a716446655440000',
  { frames: [], raw: '', parser: 'node' },
  { frames: [{}] },
  { frames: [{ raw: null }] },
  { frames: [{ inApp: 'yes' }], parser: 'node' },
  { frames: [{ functionName: 'f', lineNumber: 1 }], parser: null },
  { frames: [{ functionName: 'f', lineNumber: 1 }], parser: 'other' },
  { frames: [{ functionName: 'f', lineNumber: 1, more: 1 }], raw: 'r', parser: 'browser' },
  { frames: Array(251).fill({ functionName: 'f' }), parser: 'browser' },
  { frames: 'none' },
]

const FIELDS = [...Object.keys(NativeEvent.shape), 'unknown']
const changes = fc.dictionary(fc.constantFrom(...FIELDS), fc.constantFrom(...VALUES), {
  maxKeys: 3,
  noNullPrototype: true,
})

test('what the short way reads is exactly what the schema and the cutter make of it', () => {
  let short = 0
  fc.assert(
    fc.property(changes, (changed) => {
      const event = { ...anEvent(), ...changed }
      const plain = plainOccurrence(event, NOW_MS)
      if (plain === undefined) return
      short += 1
      const whole = NativeEvent.safeParse(event)
      expect(whole.error?.issues).toBeUndefined()
      if (whole.data !== undefined) expect(plain).toStrictEqual(toOccurrence(whole.data, NOW_MS))
    }),
    { numRuns: 20_000 },
  )
  expect(short).toBeGreaterThan(1_000)
})

test('every value of the list, alone in every field', () => {
  for (const field of FIELDS) {
    for (const value of VALUES) {
      const event = { ...anEvent(), [field]: value }
      const plain = plainOccurrence(event, NOW_MS)
      if (plain === undefined) continue
      expect(plain).toStrictEqual(toOccurrence(NativeEvent.parse(event), NOW_MS))
    }
  }
})

test('an event as the seed sends it is read the short way, and its stack is one array each time', () => {
  const frames = [
    { functionName: 'pay', fileName: 'pay.js', lineNumber: 7, raw: 'at pay' },
    { functionName: null, fileName: 'main.js', lineNumber: 1, columnNumber: 2, inApp: false },
  ]
  const parsed = () => ({ parsedStack: { frames: structuredClone(frames), raw: '' } })
  const one = plainOccurrence({ ...anEvent(), ...parsed() }, NOW_MS)?.parsedStack?.frames
  const other = plainOccurrence({ ...anEvent(), ...parsed() }, NOW_MS)?.parsedStack?.frames
  expect(one).toBe(other)
  expect(one !== undefined && isShared(one)).toBe(true)
  const changed = { ...parsed().parsedStack, frames: [{ ...frames[0], lineNumber: 8 }, frames[1]] }
  const third = plainOccurrence({ ...anEvent(), parsedStack: changed }, NOW_MS)?.parsedStack
  expect(third?.frames[0]?.lineNumber).toBe(8)
  expect(third?.frames).not.toBe(one)
})
