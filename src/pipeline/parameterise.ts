const CHARS_MAX = 8 * 1024
/** What stands for each part of the expression below, in its order. */
const PLACES = [
  'url',
  'email',
  'uuid',
  'date',
  'time',
  'str',
  'ip',
  'hex',
  'duration',
  'float',
  'int',
  'id',
]

// One pass over the text; every part is bounded, and none stands inside another repetition that
// could match the same characters, so the time is linear. The order decides: what is most special first.
const PARTS = new RegExp(
  [
    String.raw`(\b[a-z][a-z\d+.-]{1,15}:\/\/[^\s"'<>()]{1,2048})`,
    String.raw`((?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{0,190}[\w-])`,
    String.raw`(\b[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}\b)`,
    String.raw`(\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?)`,
    String.raw`(\b\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\b)`,
    String.raw`((?<![\w\\])(?:"[^"\n]{0,512}"|'[^'\n]{0,512}'|` +
      '`[^`\\n]{0,512}`' +
      String.raw`)(?!\w))`,
    String.raw`(\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d{1,5})?\b|(?<![\w:])[\da-f]{0,4}:[\da-f]{0,4}:[\da-f:.]{1,36}(?![\w:]))`,
    String.raw`(\b0x[\da-f]{1,64}\b|\b(?=[a-f]{0,63}\d)[\da-f]{8,64}(?<=[a-f][\da-f]{0,63})\b)`,
    String.raw`(\b\d{1,20}(?:\.\d{1,20})? ?(?:ms|µs|us|ns|s|sec|secs|seconds?|min|minutes?|h|hours?|days?)\b)`,
    String.raw`((?<![\w.])[+-]?\d{1,40}\.\d{1,40}(?:e[+-]?\d{1,4})?\b(?!\.\d))`,
    String.raw`((?<![a-z\d])[+-]?\d{1,64}(?![a-z\d]))`,
    String.raw`(\b(?=[a-z_-]{0,63}\d)\w{16,128}\b)`,
  ].join('|'),
  'gi',
)

/**
 * The message with what differs from one time to the next replaced by its kind: `<uuid>`, `<hex>`,
 * `<int>`, `<float>`, `<date>`, `<time>`, `<duration>`, `<email>`, `<url>`, `<ip>`, `<str>` for what is
 * quoted, `<id>` for other long identifiers with digits. White space becomes single blanks.
 * Reads the first 8,192 characters.
 */
export function parameterise(message: string): string {
  const read = message.length > CHARS_MAX ? message.slice(0, CHARS_MAX) : message
  return read.replace(PARTS, kindOf).replace(/\s+/g, ' ').trim()
}

function kindOf(whole: string, ...parts: readonly unknown[]): string {
  for (let at = 0; at < PLACES.length; at++) {
    if (parts[at] !== undefined) return `<${PLACES[at] ?? ''}>`
  }
  return whole
}
