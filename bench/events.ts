import { randomUUID } from 'node:crypto'

const CODES = Array.from(
  { length: 60 },
  (_, i) => `${['network', 'auth', 'render', 'storage'][i % 4]}/failure-${i}`,
)
const FILES = ['checkout', 'cart', 'profile', 'search', 'session', 'images', 'sync', 'payments']

/** A stack that 200 different bugs share among them, as real ones do. */
function stackOf(bug: number) {
  const frames = Array.from({ length: 10 }, (_, i) => {
    const file = FILES[(bug + i) % FILES.length]
    const inApp = i < 7
    const fileName = inApp
      ? `https://app.example.com/assets/${file}.js`
      : 'https://app.example.com/node_modules/react-dom/cjs/react-dom.production.js'
    const functionName = `${file}Handler${(bug * 7 + i) % 90}`
    const [lineNumber, columnNumber] = [100 + ((bug * 31 + i * 17) % 900), 5 + ((bug + i) % 60)]
    const raw = `    at ${functionName} (${fileName}:${lineNumber}:${columnNumber})`
    return { functionName, fileName, lineNumber, columnNumber, inApp, raw }
  })
  return frames
}

/** One event of about 2.7 KB as JSON, in the native format, of the development app. */
export function anEvent(n: number, nowMs: number): object {
  const bug = (n * 7919) % 200
  const message = `Request ${n} to /api/orders/${n % 1000} failed with status ${500 + (n % 5)} after ${n % 3000} ms`
  const frames = stackOf(bug)
  const raw = `Error: ${message}\n${frames.map((frame) => frame.raw).join('\n')}`
  return {
    id: randomUUID(),
    code: CODES[bug % CODES.length],
    message,
    stackTrace: raw,
    parsedStack: { frames: frames.slice(0, 4), raw: '', parser: 'browser' },
    appId: 'test-app',
    appVersion: `2.${bug % 7}.0`,
    platform: 'web',
    platformVersion: 'Chrome 141',
    environment: 'production',
    level: 'error',
    userId: `user-${(n * 31) % 5000}`,
    timestamp: new Date(nowMs - (n % 1000)).toISOString(),
    metadata: {
      endpoint: `/api/orders/${n % 1000}`,
      statusCode: 500 + (n % 5),
      retries: n % 4,
      route: FILES[bug % FILES.length],
      viewport: { width: 1280, height: 720 },
    },
    tags: { region: ['eu', 'us', 'ap'][n % 3], tenant: `t${n % 40}`, build: `b${bug % 7}` },
    breadcrumbs: [
      { type: 'navigation', message: `/cart/${n % 100}`, timestamp: nowMs - 5000 },
      { type: 'click', message: 'button.pay', timestamp: nowMs - 2000 },
    ],
  }
}

/** `count` bodies of `size` events each, made before the clock runs. */
export function bodies(
  count: number,
  size: number,
): { readonly bodies: readonly Buffer[]; readonly ids: readonly string[] } {
  const ids: string[] = []
  const nowMs = Date.now()
  let n = 0
  const made = Array.from({ length: count }, () => {
    const events = Array.from({ length: size }, () => anEvent(n++, nowMs))
    for (const event of events)
      if ('id' in event && typeof event.id === 'string') ids.push(event.id)
    return Buffer.from(JSON.stringify({ events }))
  })
  return { bodies: made, ids }
}
