import { utf8ToBytes } from '@noble/hashes/utils.js'
import type { z } from 'zod'

/** Texts for a browser to keep that it can neither read nor change. */
export interface Seal<Content> {
  readonly seal: (content: Content, lifeMs: number) => Promise<string>
  /** What was sealed and when; undefined for what is not ours, was changed, or is over. */
  readonly open: (
    text: string | undefined,
  ) => Promise<{ readonly content: Content; readonly sealedMs: number } | undefined>
}

const TEXT_CHARS_MAX = 4_096

/**
 * Encrypted JSON web tokens (RFC 7516: `dir`, A256GCM), made by jose. The keys are derived from the
 * secrets by HKDF, one for each `purpose`, so that a text of one purpose opens for no other. The
 * first secret seals; every one opens.
 */
export async function createSeal<Schema extends z.ZodType>(
  { secrets, nowMs }: { readonly secrets: readonly string[]; readonly nowMs: () => number },
  purpose: string,
  schema: Schema,
): Promise<Seal<z.output<Schema>>> {
  // Loaded only where somebody can sign in.
  const [{ EncryptJWT }, { jwtDecrypt }] = await Promise.all([
    import('jose/jwt/encrypt'),
    import('jose/jwt/decrypt'),
  ])
  const keys = await Promise.all(secrets.map((secret) => derived(secret, purpose)))
  const [newest] = keys
  if (newest === undefined) throw new RangeError('A seal needs a secret.')
  return {
    seal: (content, lifeMs) =>
      new EncryptJWT({ content })
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
        .setIssuedAt(new Date(nowMs()))
        .setExpirationTime(new Date(nowMs() + lifeMs))
        .encrypt(newest),
    async open(text) {
      if (text === undefined || text.length > TEXT_CHARS_MAX) return undefined
      for (const key of keys) {
        const options = {
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
          requiredClaims: ['iat', 'exp'],
          currentDate: new Date(nowMs()),
        }
        // Whatever is wrong with it, it is not to be opened, and somebody else's key may still fit.
        const opened = await jwtDecrypt(text, key, options).catch(() => undefined)
        const content = schema.safeParse(opened?.payload['content'])
        if (opened?.payload.iat !== undefined && content.success) {
          return { content: content.data, sealedMs: opened.payload.iat * 1_000 }
        }
      }
      return undefined
    },
  }
}

async function derived(secret: string, purpose: string): Promise<Uint8Array> {
  const material = await crypto.subtle.importKey('raw', bytes(secret), 'HKDF', false, [
    'deriveBits',
  ])
  const info = bytes(`error-ingestor ${purpose}`)
  const how = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(32), info }
  return new Uint8Array(await crypto.subtle.deriveBits(how, material, 256))
}

/** On a buffer of its own, as WebCrypto's types want it. */
function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(utf8ToBytes(text))
}
