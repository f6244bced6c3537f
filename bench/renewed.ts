import { randomFillSync } from 'node:crypto'
import { anEvent } from './events.ts'

const ID_CHARS = 36
const HEX = Buffer.from('0123456789abcdef')
const BODIES_PER_CONNECTION = 8

/**
 * Bodies without end, in constant memory: each connection has a few of its own, which get new ids each
 * time. Making them anew would cost more than the server that they are sent to.
 */
export function renewed(size: number, connections: number): (connection: number) => Buffer {
  let n = 0
  const made = Array.from({ length: connections }, () =>
    Array.from({ length: BODIES_PER_CONNECTION }, () => {
      const events = Array.from({ length: size }, () => anEvent(n++, Date.now()))
      const body = Buffer.from(JSON.stringify({ events }))
      return { body, places: placesOf(body) }
    }),
  )
  const turns = new Array<number>(connections).fill(0)
  const random = Buffer.alloc(16 * size)
  return (connection) => {
    const turn = turns[connection] ?? 0
    turns[connection] = turn + 1
    const chosen = made[connection]?.[turn % BODIES_PER_CONNECTION]
    if (chosen === undefined) throw new RangeError('There are not so many connections.')
    randomFillSync(random)
    for (const [i, place] of chosen.places.entries()) writeId(chosen.body, place, random, 16 * i)
    return chosen.body
  }
}

function placesOf(body: Buffer): number[] {
  const places: number[] = []
  const name = Buffer.from('"id":"')
  for (let at = body.indexOf(name); at >= 0; at = body.indexOf(name, at + 1)) {
    places.push(at + name.length)
  }
  return places
}

function writeId(body: Buffer, place: number, random: Buffer, from: number): void {
  let nibble = 0
  for (let at = 0; at < ID_CHARS; at += 1) {
    if (at === 8 || at === 13 || at === 18 || at === 23) continue
    const byte = random[from + (nibble >> 1)] ?? 0
    body[place + at] = HEX[nibble % 2 === 0 ? byte >> 4 : byte & 15] ?? 0
    nibble += 1
  }
}
