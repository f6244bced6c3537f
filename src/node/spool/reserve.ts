import type { Disk } from './disk.ts'

/** Room on the disk that is ours already: enough to seal and to stop when nothing else is free. */
export interface Reserve {
  /** Gives the room up, for the log of seals to use. */
  readonly release: () => Promise<void>
  /** Takes it again once the disk has room. */
  readonly restore: () => Promise<void>
}

const NAME = 'reserve'
const BYTES = 8 * 1024 * 1024
/** Left free for others when the reserve is taken again. */
const FREE_BYTES_MIN = 8 * 1024 * 1024

/** Takes the reserve, where the disk has room for it. */
export async function openReserve(disk: Disk): Promise<Reserve> {
  let held = (await disk.list()).includes(NAME)

  const reserve: Reserve = {
    async release() {
      if (!held) return
      held = false
      await disk.remove(NAME)
    },
    async restore() {
      if (held || (await disk.free()).bytes < BYTES + FREE_BYTES_MIN) return
      try {
        const file = await disk.create(NAME)
        held = true
        try {
          // Written, not only sized: a hole would hold no room.
          const zeros = Buffer.alloc(1024 * 1024)
          for (let at = 0; at < BYTES; at += zeros.length) await file.write([zeros], at)
        } finally {
          await file.close()
        }
      } catch {
        // The disk filled up meanwhile: what was taken is given back, and the next call tries again.
        held = false
        await disk.remove(NAME)
      }
    },
  }
  await reserve.restore()
  return reserve
}
