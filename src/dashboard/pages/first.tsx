import type { App } from '../../keys/ring.ts'
import { Text } from './text.tsx'

/** What a page without a single event shows: the command that changes that. */
export function FirstEvent({ app, curl }: { readonly app: App; readonly curl: string }) {
  return (
    <section class="first">
      <h1>
        Waiting for the first event of <Text value={app.name} />
      </h1>
      <p>Paste this into a terminal, then load this page again.</p>
      <div class="command">
        <pre tabindex={0} aria-label="Command">
          <code id="curl">{curl}</code>
        </pre>
        <button type="button" data-copy="curl" hidden>
          Copy
        </button>
      </div>
      <p class="actions">
        <a class="button" href="">
          Load again
        </a>
        <a href="/docs">What an event may hold</a>
      </p>
    </section>
  )
}

/**
 * The command that sends one event, for a POSIX shell. Id and time are fresh, because an id that was seen
 * before counts once and an old time would not show in the range.
 */
export function curlFor(send: {
  readonly origin: string
  readonly appId: string
  readonly key: string | undefined
  readonly id: string
  readonly nowMs: number
}): string {
  const event = {
    id: send.id,
    code: 'hello/first-event',
    message: 'Hello from curl',
    stackTrace: 'Error: Hello from curl\n    at main (hello.js:1:1)',
    appId: send.appId,
    appVersion: '1.0.0',
    platform: 'other',
    platformVersion: '',
    timestamp: new Date(send.nowMs).toISOString(),
    metadata: {},
    tags: {},
  }
  const lines = Object.entries(event).map(
    ([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`,
  )
  return [
    `curl ${quoted(`${send.origin}/api/v1/ingest`)} \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -H ${quoted(`X-API-Key: ${send.key ?? 'YOUR_INGEST_KEY'}`)} \\`,
    `  -d ${quoted(`{"events": [{\n${lines.join(',\n')}\n}]}`)}`,
  ].join('\n')
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
