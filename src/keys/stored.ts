import { z } from 'zod'
import type { StoredApp, StoredKey } from '../administration.ts'
import { AppOptions } from '../app-setting.ts'
import { SCOPES, type Declared, type DeclaredKey, type Scope } from './records.ts'

/** Apps and keys as a table or the file of last known keys holds them. */
export interface Stored {
  readonly apps: readonly StoredApp[]
  readonly keys: readonly StoredKey[]
}

const Options = z.object(AppOptions)

/**
 * What is stored, as a declaration. What a newer version stored and this one does not know is left
 * out, and so are options that are no longer valid: an app without them is better than none.
 */
export function declaredOfStored({ apps, keys }: Stored): Declared {
  return {
    apps: apps.map(({ id, name, createdAtMs, options }) => ({
      ...{ id, name, createdAtMs },
      options: Options.safeParse(options).data ?? {},
    })),
    keys: keys.map((key) => ({
      ...{ digest: key.digest, name: key.name, prefix: key.prefix, lastFour: key.lastFour },
      appId: key.appId === '' ? undefined : key.appId,
      scopes: new Set(key.scopes.filter(isScope)),
      ...{ createdAtMs: key.createdAtMs, expiresAtMs: key.expiresAtMs },
      revokedAtMs: key.revokedAtMs,
      readable: key.readable === '' ? undefined : key.readable,
    })),
  }
}

/** A declared key as it is stored. */
export function storedKeyOf(key: DeclaredKey): StoredKey {
  return {
    ...{ digest: key.digest, appId: key.appId ?? '', name: key.name },
    ...{ prefix: key.prefix, lastFour: key.lastFour, scopes: [...key.scopes] },
    ...{ readable: key.readable ?? '', createdAtMs: key.createdAtMs ?? 0 },
    ...{ expiresAtMs: key.expiresAtMs, revokedAtMs: key.revokedAtMs },
  }
}

const KnownFile = z.object({
  version: z.literal(1),
  check: z.string(),
  apps: z.array(
    z.object({ id: z.string(), name: z.string(), createdAtMs: z.number(), options: z.unknown() }),
  ),
  keys: z.array(
    z.object({
      ...{ digest: z.string(), appId: z.string(), name: z.string(), prefix: z.string() },
      ...{ lastFour: z.string(), scopes: z.array(z.string()), readable: z.string() },
      createdAtMs: z.number(),
      expiresAtMs: z.number().optional(),
      revokedAtMs: z.number().optional(),
    }),
  ),
})

/** What is known, as the text of a file; `check` tells later which pepper made the digests. */
export function knownFileOf(stored: Stored, check: string): string {
  return JSON.stringify({ version: 1, check, ...stored })
}

/** What a file of {@link knownFileOf} holds; undefined where it is damaged or of another pepper. */
export function readKnownFile(text: string, check: string): Stored | undefined {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    // Half a file, or none of ours: then nothing is known.
    return undefined
  }
  const parsed = KnownFile.safeParse(content)
  if (!parsed.success || parsed.data.check !== check) return undefined
  const { apps, keys } = parsed.data
  return {
    apps,
    keys: keys.map(({ expiresAtMs, revokedAtMs, ...key }) => ({
      ...key,
      ...{ expiresAtMs, revokedAtMs },
    })),
  }
}

function isScope(text: string): text is Scope {
  return SCOPES.some((scope) => scope === text)
}
