import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

/**
 * The file of the last known keys in `DATA_DIR`: hashes, and no key but those that are public. It is
 * replaced as a whole and durably, so that it is the old or the new one whenever the power goes.
 */
export function knownKeysFile(dataDir: string) {
  const path = join(resolve(dataDir), 'keys.json')
  return {
    /** Undefined where there is none, or where it cannot be read: then nothing is known. */
    read: () => readFile(path, 'utf8').catch(() => undefined),
    async write(text: string): Promise<void> {
      const folder = dirname(path)
      await mkdir(folder, { recursive: true })
      const half = `${path}.new`
      const file = await open(half, 'w', 0o600)
      try {
        await file.writeFile(text)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(half, path)
      const handle = await open(folder, 'r')
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
    },
  }
}
