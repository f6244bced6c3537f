/**
 * Tells whether a text matches one of the globs, whole and in any case; `*` stands for any text, also
 * none. Time is linear in the text for each glob: the pieces between stars are looked for one after
 * the other, and none is looked for twice.
 */
export function globMatcher(globs: readonly string[]): (text: string) => boolean {
  const patterns = globs.map((glob) => glob.toLowerCase().split('*'))
  return (text) => {
    const lower = text.toLowerCase()
    return patterns.some((pieces) => matches(lower, pieces))
  }
}

function matches(text: string, pieces: readonly string[]): boolean {
  const [first = '', ...rest] = pieces
  const last = rest.pop()
  if (last === undefined) return text === first
  if (!text.startsWith(first)) return false
  let at = first.length
  for (const piece of rest) {
    const found = text.indexOf(piece, at)
    if (found === -1) return false
    at = found + piece.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}
