import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { DiskFile } from '../../src/node/spool/disk.ts'
import { SEGMENT_HEADER_BYTES } from '../../src/node/spool/frame.ts'
import { readFrames } from '../../src/node/spool/segment.ts'
import { identify } from '../../src/store/rows.ts'
import type { Random } from './random.ts'

/** Which rows a damaged segment held: by their number in the folder, their id. */
export type Destroyed = Map<number, string>

/**
 * Spoils one segment of a folder whose server is dead: flips a bit, or cuts the file.
 * @returns what was done, or undefined where there is no segment.
 */
export async function spoil(
  spoolDir: string,
  keepDir: string,
  how: 'flip' | 'cut',
  random: Random,
  destroyed: Destroyed,
): Promise<string | undefined> {
  const names = readdirSync(spoolDir).filter((name) => name.startsWith('segment-'))
  const [first, ...rest] = names
  if (first === undefined) return undefined
  const name = random.pick([first, ...rest])
  const path = join(spoolDir, name)
  mkdirSync(keepDir, { recursive: true })
  copyFileSync(path, join(keepDir, `${name}-${random.whole(0, 2 ** 31)}`))
  const bytes = readFileSync(path)
  if (bytes.length <= SEGMENT_HEADER_BYTES) return undefined
  const at = random.whole(0, bytes.length - 1)
  const frames = await framesOf(bytes, Number(name.slice(8, 18)))
  for (const { from, to, ordinal, ids } of frames) {
    const isHit = how === 'cut' ? to > at : from <= at && at < to
    if (isHit) for (const [i, id] of ids.entries()) destroyed.set(ordinal + i, id)
  }
  if (how === 'cut') truncateSync(path, at)
  else {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.whole(0, 7))
    writeFileSync(path, bytes)
  }
  return `${how} ${name} at ${at} of ${bytes.length}`
}

/** The frames of a segment, as far as it has not been spoilt before. */
async function framesOf(bytes: Buffer, segment: number) {
  const frames: { from: number; to: number; ordinal: number; ids: readonly string[] }[] = []
  const nothing = () => Promise.resolve()
  const file: DiskFile = {
    read: (at, length) => Promise.resolve(bytes.subarray(at, at + length)),
    size: () => Promise.resolve(bytes.length),
    ...{ write: nothing, truncate: nothing, sync: nothing, close: nothing },
  }
  for await (const part of readFrames(file, segment, SEGMENT_HEADER_BYTES, bytes.length)) {
    if (part.kind === 'damage') continue
    const ids = identify(part.batch).map(({ id }) => id)
    frames.push({ from: part.at, to: part.end, ordinal: part.ordinal, ids })
  }
  return frames
}

/** What the server says is missing, by the names of its `damaged/rows-<ordinal>-<count>`. */
export function toldMissing(
  spoolDir: string,
): { readonly ordinal: number; readonly rows: number }[] {
  return readdirSync(join(spoolDir, 'damaged')).flatMap((name) => {
    const found = /^rows-(\d+)-(\d+)$/.exec(name)
    return found === null ? [] : [{ ordinal: Number(found[1]), rows: Number(found[2]) }]
  })
}
