/** A bounded memory of event ids, exact: it never takes one id for another. */
export interface RecentIds {
  /** Remembers the id. False when it was known already. */
  readonly add: (appId: string, id: string) => boolean
}

const WORDS = 5 // Of 32 bits: the app's number, then the UUID's four.
const APPS_MAX = 100_000

const NO_DIGIT = 16
/** Of lower-case hex digits, by character code. */
const HEX = new Uint8Array(128).fill(NO_DIGIT)
for (let digit = 0; digit < 16; digit += 1) HEX[digit.toString(16).charCodeAt(0)] = digit

/**
 * Remembers between `idsMax` and twice that many of the latest ids, in 28 to 56 bytes each: a Set of
 * strings would take over 100. Two open-addressing tables; the older one is emptied when the newer is full.
 */
export function recentIds(idsMax: number): RecentIds {
  const slots = 2 ** Math.ceil(Math.log2(idsMax * 1.4))
  let young = new Uint32Array(slots * WORDS)
  let old = new Uint32Array(slots * WORDS)
  let count = 0
  const apps = new Map<string, number>()
  const key = new Uint32Array(WORDS)

  function load(appId: string, id: string): void {
    let app = apps.get(appId)
    if (app === undefined) {
      if (apps.size >= APPS_MAX) forget()
      app = apps.size + 1 // Never 0: a slot whose first word is 0 is free.
      apps.set(appId, app)
    }
    key[0] = app
    // By hand: parseInt of slices takes four times as long, and this runs twice for every event.
    let [word, value, digits] = [1, 0, 0]
    for (let at = 0; at < id.length; at += 1) {
      const digit = HEX[id.charCodeAt(at)] ?? NO_DIGIT
      if (digit === NO_DIGIT) continue
      value = (value << 4) | digit
      digits += 1
      if (digits % 8 > 0) continue
      key[word] = value
      word += 1
      value = 0
    }
  }

  /** The slot that holds the key, or the complement of the free one where it belongs. */
  function find(table: Uint32Array): number {
    const [app = 0, a = 0, b = 0, c = 0, d = 0] = key
    let hash = Math.imul(app ^ a ^ Math.imul(b, 0x9e3779b1), 0x85ebca6b)
    hash = Math.imul(hash ^ c ^ (hash >>> 15) ^ Math.imul(d, 0xc2b2ae35), 0x27d4eb2f)
    let slot = (hash ^ (hash >>> 13)) & (slots - 1)
    for (;;) {
      const at = slot * WORDS
      if (table[at] === 0) return ~at
      if (
        table[at] === app &&
        table[at + 1] === a &&
        table[at + 2] === b &&
        table[at + 3] === c &&
        table[at + 4] === d
      ) {
        return at
      }
      slot = (slot + 1) & (slots - 1)
    }
  }

  function forget(): void {
    apps.clear()
    young.fill(0)
    old.fill(0)
    count = 0
  }

  return {
    add(appId, id) {
      load(appId, id)
      if (find(old) >= 0) return false
      const place = find(young)
      if (place >= 0) return false
      young.set(key, ~place)
      count += 1
      if (count >= idsMax) {
        const emptied = old.fill(0)
        old = young
        young = emptied
        count = 0
      }
      return true
    },
  }
}
