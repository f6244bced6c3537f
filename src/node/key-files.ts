import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parse, YAMLParseError } from 'yaml'
import type { KeyFile } from '../keys/files.ts'
import type { FolderReading } from '../keys/sync.ts'

/** More are not read: a Secret holds 1 MiB. */
const FILES_MAX = 1_000
const FILE_BYTES_MAX = 4 * 1024 * 1024
const READINGS_MAX = 3

/**
 * Reads the files `*.json`, `*.yaml` and `*.yml` of a folder, as Kubernetes mounts a Secret or
 * ConfigMap there: names are links into a folder that the kubelet swaps as a whole. The result
 * answers undefined as long as nothing has changed; a folder that changes while it is read is read
 * once more, so that no reading is half old. It never rejects.
 */
export function keyFolder(path: string): () => Promise<FolderReading | undefined> {
  let seen: string | undefined
  return async () => {
    try {
      for (let reading = 1; ; reading += 1) {
        const before = await signatureOf(path)
        if (before === seen) return undefined
        const files = await filesOf(path)
        if (reading < READINGS_MAX && (await signatureOf(path)) !== before) continue
        seen = before
        return { files, problem: undefined }
      }
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error)
      // The same trouble is told once.
      if (seen === problem) return undefined
      seen = problem
      return { files: [], problem }
    }
  }
}

/** Changes whenever a file does: by the swap, by being replaced, or by being written. */
async function signatureOf(path: string): Promise<string> {
  const names = await namesOf(path)
  const parts = await Promise.all(
    names.map(async (name) => {
      const file = join(path, name)
      const { ino, size, mtimeMs, ctimeMs } = await stat(file)
      return [name, await realpath(file), ino, size, mtimeMs, ctimeMs].join(' ')
    }),
  )
  return parts.join('\n')
}

async function namesOf(path: string): Promise<string[]> {
  const names = await readdir(path)
  const known = names.filter((name) => /\.(?:json|ya?ml)$/.test(name) && !name.startsWith('.'))
  if (known.length > FILES_MAX) throw new Error(`${path} holds more than ${FILES_MAX} files.`)
  return known.sort()
}

async function filesOf(path: string): Promise<KeyFile[]> {
  const names = await namesOf(path)
  return Promise.all(names.map((name) => fileOf(join(path, name), name)))
}

async function fileOf(path: string, name: string): Promise<KeyFile> {
  if ((await stat(path)).size > FILE_BYTES_MAX) {
    return { name, problem: `The file has more than ${FILE_BYTES_MAX} bytes.` }
  }
  const text = await readFile(path, 'utf8')
  try {
    // JSON is YAML too, but says more exactly what is wrong with it.
    return { name, content: name.endsWith('.json') ? JSON.parse(text) : parse(text) }
  } catch (error) {
    return {
      name,
      problem: `The file is not ${name.endsWith('.json') ? 'JSON' : 'YAML'}${placeOf(error)}.`,
    }
  }
}

/** Where, but not what: the parsers' own words repeat the text, and that may be a key. */
function placeOf(error: unknown): string {
  if (!(error instanceof YAMLParseError)) return ''
  const line = error.linePos?.[0].line
  return line === undefined ? '' : ` (line ${line})`
}
