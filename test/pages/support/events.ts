import type { Grouping, Occurrence } from '../../../src/occurrence.ts'
import type { ClickHouse } from '../../../src/store/clickhouse.ts'
import { blockTarget, encodeRows } from '../../../src/store/rows.ts'

/** Stores occurrences as delivery does: one block. */
export async function insert(
  clickhouse: ClickHouse,
  occurrences: readonly Occurrence[],
): Promise<void> {
  const { format, bytes } = encodeRows(occurrences, ({ code }): Grouping => ({
    fingerprint: issueOf(code),
    secondary: '',
    basis: 'message',
    components: [],
  }))
  await clickhouse.insert({ ...blockTarget(format), body: [bytes], settings: { async_insert: 0 } })
}

/** A fingerprint in the form of ours that depends on a code. */
function issueOf(text: string): string {
  const hex = Array.from(text, (char) => (char.codePointAt(0) ?? 0).toString(16)).join('')
  return `v1:${hex.padEnd(32, '0').slice(0, 32)}`
}

/** What strangers write into an event: markup, other languages' code, and text that breaks layouts. */
export const HOSTILE = [
  '<script>window.pwned=1</script>',
  `"><img src=x onerror="window.pwned=1">`,
  `' onmouseover='window.pwned=1' autofocus onfocus='window.pwned=1`,
  '</title></style></textarea></pre><svg onload=window.pwned=1>',
  '--><iframe srcdoc="<script>parent.pwned=1</script>">',
  'javascript:window.pwned=1',
  `{{constructor.constructor('window.pwned=1')()}} \${window.pwned=1}`,
  `'; DROP TABLE occurrences; --`,
  '%3Cscript%3E&lt;b&gt;&amp;&#x3c;',
  '\u202egnp.exe\u202c \u2066isolate \u200bzero-width \ufeffmark',
  'a\u0000b\u0007c\u001b[31md\u007f\u0085e\r\nf',
  '👩‍👩‍👧‍👦 🏴‍☠️ नमस्ते مرحبا שלום 漢字',
  '\ud800 lone surrogate',
  `W${'i'.repeat(3_000)}de`,
  `${'a/'.repeat(800)}b`,
  'ﷺ'.repeat(300),
  `Z${'\u0300'.repeat(200)}algo`,
] as const
