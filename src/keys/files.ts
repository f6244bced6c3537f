import { z } from 'zod'
import { AppSetting } from '../app-setting.ts'
import { declaredOf, type Declared, type Digest } from './records.ts'

/** One file of the folder: what is in it, or why it could not be read. */
export type KeyFile =
  | { readonly name: string; readonly content: unknown }
  | { readonly name: string; readonly problem: string }

/** A file that does not count, or only as it was before. */
export interface BadFile {
  readonly name: string
  /** What is wrong with it, never a key. */
  readonly problem: string
  /** Whether an earlier state of it goes on. */
  readonly hasLastGood: boolean
}

/** The folder after a reading. */
export interface FilesState {
  readonly declared: Declared
  readonly bad: readonly BadFile[]
}

/** Development mode takes shorter ones, such as those of an example. */
const KEY_CHARS_MIN = 16

const FileSetting = AppSetting.shape.keys.unwrap().element.strict()
const FileApp = z.strictObject({ ...AppSetting.shape, keys: z.array(FileSetting).default([]) })
const NoAppKey = FileSetting.extend({
  scopes: z
    .array(z.enum(['read', 'admin'], 'must be read or admin for a key that belongs to no app'))
    .min(1)
    .default(['admin']),
})
/** A list of apps, or apps and keys of all apps. A name that is not known is an error: it may be a typo. */
const FileSchema = z.union([
  z.strictObject({ apps: z.array(FileApp).default([]), keys: z.array(NoAppKey).default([]) }),
  z.array(FileApp),
])

interface FileContent {
  readonly apps: readonly AppSetting[]
  readonly keys: AppSetting['keys']
}

/**
 * Takes the files of the folder, reading after reading. A file that cannot be used goes on as it was
 * when it last could; the others do not suffer for it. Two files that declare the same app or key:
 * the second in order of names is the bad one.
 */
export function createKeyFiles(deps: {
  readonly digest: Digest
  readonly nowMs: () => number
  /** Keys that may not stand there. */
  readonly forbidden: readonly string[]
  readonly production: boolean
}): { readonly take: (files: readonly KeyFile[]) => FilesState } {
  const good = new Map<string, FileContent>()
  const since = new Map<string, number>()
  return {
    take(files) {
      const taken = createTaken()
      const bad: BadFile[] = []
      for (const file of files.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
        const read = contentOf(file, deps)
        const problem = 'problem' in read ? read.problem : taken.add(read.content)
        if (problem === undefined && 'content' in read) {
          good.set(file.name, read.content)
          continue
        }
        const last = good.get(file.name)
        const hasLastGood = last !== undefined && taken.add(last) === undefined
        bad.push({ name: file.name, problem: problem ?? '', hasLastGood })
      }
      const names = new Set(files.map(({ name }) => name))
      for (const name of good.keys()) if (!names.has(name)) good.delete(name)
      const { apps, keys } = taken.all
      for (const { id } of apps) if (!since.has(id)) since.set(id, deps.nowMs())
      const dated = apps.map((app) => ({
        ...app,
        createdAt: app.createdAt ?? new Date(since.get(app.id) ?? 0).toISOString(),
      }))
      return { declared: declaredOf({ apps: dated, keys }, deps.digest, deps.nowMs()), bad }
    },
  }
}

/** What was taken of the files so far, none of it twice. */
function createTaken() {
  const all = { apps: Array<AppSetting>(), keys: Array<AppSetting['keys'][number]>() }
  const seen = new Set<string>()
  return {
    all,
    /** Takes all of it, or nothing and says why. */
    add: ({ apps, keys }: FileContent): string | undefined => {
      const own = new Set<string>()
      const isTwice = (name: string) => {
        if (own.has(name) || seen.has(name)) return true
        own.add(name)
        return false
      }
      for (const app of apps) {
        if (isTwice(`app ${app.id}`)) return `The app ${app.id} is declared twice.`
        const twice = app.keys.findIndex(({ key }) => isTwice(`key ${key}`))
        if (twice >= 0) return `Key ${twice + 1} of the app ${app.id} is declared twice.`
      }
      const twice = keys.findIndex(({ key }) => isTwice(`key ${key}`))
      if (twice >= 0) return `Key ${twice + 1} of no app is declared twice.`
      for (const name of own) seen.add(name)
      all.apps.push(...apps)
      all.keys.push(...keys)
      return undefined
    },
  }
}

function contentOf(
  file: KeyFile,
  {
    forbidden,
    production,
  }: { readonly forbidden: readonly string[]; readonly production: boolean },
): { readonly content: FileContent } | { readonly problem: string } {
  if ('problem' in file) return file
  const parsed = FileSchema.safeParse(file.content)
  if (!parsed.success) return { problem: sentenceOf(parsed.error) }
  const content: FileContent = Array.isArray(parsed.data)
    ? { apps: parsed.data, keys: [] }
    : parsed.data
  const { apps, keys } = content
  const all = [...apps.flatMap((app) => app.keys), ...keys].map(({ key }) => key)
  if (all.some((key) => forbidden.includes(key))) {
    return { problem: 'The development key is public knowledge; make a key of your own.' }
  }
  if (production && all.some((key) => key.length < KEY_CHARS_MIN)) {
    return { problem: `A key must have at least ${KEY_CHARS_MIN} characters.` }
  }
  return { content }
}

/** Where and what, without what stands there: that may be a key. */
function sentenceOf(error: z.ZodError): string {
  const [issue] = error.issues
  const inner = issue?.code === 'invalid_union' ? deepest(issue.errors) : issue
  const where = inner?.path.join('.') ?? ''
  const what =
    inner?.code === 'unrecognized_keys'
      ? `has names that are not known: ${inner.keys.join(', ')}`
      : (inner?.message ?? 'is not valid')
  return `${where || 'The file'}: ${what}.`
}

/** Of the ways to read a file the one that got furthest is what was meant. */
function deepest(ways: readonly (readonly z.core.$ZodIssue[])[]): z.core.$ZodIssue | undefined {
  const depth = (issue: z.core.$ZodIssue | undefined) => issue?.path.length ?? 0
  return ways.map(([issue]) => issue).toSorted((a, b) => depth(b) - depth(a))[0]
}
