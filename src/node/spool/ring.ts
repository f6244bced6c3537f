/** Memory that is taken and given back in the same order. */
export interface Ring {
  /** Copies the bytes to the ring; undefined when there is no room for them. */
  readonly keep: (bytes: Uint8Array) => Uint8Array | undefined
  /** How far it has been taken: to be given back by {@link Ring.freeUpTo}. */
  readonly mark: () => number
  /** Gives back all that was taken before the mark. Nobody may read it any more. */
  readonly freeUpTo: (mark: number) => void
}

/**
 * A ring of `size` bytes for rows on their way. Rows come and go at 60 MB/s and live for a second or
 * two: as garbage they would cost 100 MB more, because only a full collection frees what is that old.
 */
export function createRing(size: number): Ring {
  // Touched, and so resident, only as far as it is used.
  const memory = Buffer.allocUnsafeSlow(size)
  /** Both only grow; the place in memory is the rest of the division by the size. */
  let taken = 0
  let freed = 0

  return {
    keep(bytes) {
      const { length } = bytes
      const place = taken % size
      // What does not fit before the end of the memory goes to its beginning.
      const skipped = place + length > size ? size - place : 0
      if (length > size || taken + skipped + length - freed > size) return undefined
      const start = (place + skipped) % size
      taken += skipped + length
      memory.set(bytes, start)
      return memory.subarray(start, start + length)
    },
    mark: () => taken,
    freeUpTo(mark) {
      freed = Math.max(freed, mark)
      // Idle: from the beginning again, so that only as much stays resident as a load needs.
      if (freed === taken) {
        taken = 0
        freed = 0
      }
    },
  }
}
