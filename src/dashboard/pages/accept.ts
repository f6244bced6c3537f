/**
 * Whether a request asks for a page: `text/html` is named in `Accept` and not less wanted than JSON.
 * A browser names it; curl, which takes anything, does not.
 */
export function wantsHtml(request: Request): boolean {
  const wanted = new Map<string, number>()
  for (const part of (request.headers.get('Accept') ?? '').split(',')) {
    const [type = '', ...params] = part.split(';').map((piece) => piece.trim().toLowerCase())
    const quality = params.find((param) => param.startsWith('q='))?.slice(2)
    wanted.set(type, quality === undefined ? 1 : Number(quality) || 0)
  }
  const html = wanted.get('text/html') ?? 0
  return html > 0 && html >= (wanted.get('application/json') ?? 0)
}
