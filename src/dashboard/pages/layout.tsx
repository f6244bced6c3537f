import type { Child } from 'hono/jsx'
import type { App } from '../../keys/ring.ts'
import { Text } from './text.tsx'

/** Addresses of the files that pages load, each named by its content. */
export interface Assets {
  readonly style: string
  readonly trend: string
  readonly copy: string
}

/** Somebody who is signed in, as the header shows them. */
interface Signed {
  readonly name: string
  readonly email: string | undefined
  /** In the app that is shown. */
  readonly role: string | undefined
  /** The proxy in front signed them in, and only that can sign them out. */
  readonly isByProxy: boolean
}

/** What every page shows around its content. */
export interface Frame {
  readonly assets: Assets
  /** The apps that the reader may switch between; empty where nothing is known of the reader. */
  readonly apps: readonly App[]
  readonly app: App | undefined
  readonly here: 'errors' | 'ledger' | 'docs' | 'other'
  /** Who is signed in; undefined where nobody is, as in development mode. */
  readonly person?: Signed | undefined
}

/** The mark of the service, also served to tabs: a ring that has caught a dot. */
const ICON =
  'data:image/svg+xml,' +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path d="M17.5 4.2A9.5 9.5 0 1 0 21.5 12" fill="none" stroke="#8a8178" stroke-width="2.6" stroke-linecap="round"/><circle cx="13" cy="11" r="4.2" fill="#dd5326"/></svg>',
  )

/** A whole document: head, header with the app switch, the content, and a footer. */
export function Layout(props: {
  readonly frame: Frame
  readonly title: string
  readonly script?: string
  readonly children?: Child
}) {
  const { frame } = props
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{`${props.title} · error-ingestor`}</title>
        <link rel="icon" href={ICON} />
        <link rel="stylesheet" href={frame.assets.style} />
        {props.script !== undefined && <script src={props.script} defer></script>}
      </head>
      <body>
        <a class="skip" href="#content">
          Skip to the content
        </a>
        <Header frame={frame} />
        <main id="content">{props.children}</main>
        <footer>
          <span>All times are UTC.</span>
          <span>
            <a href="/docs">API documentation</a> <a href="/openapi.json">OpenAPI</a>{' '}
            <a href="/health">Health</a>
          </span>
        </footer>
      </body>
    </html>
  )
}

function Header({ frame }: { readonly frame: Frame }) {
  const asked = frame.app ? `?${new URLSearchParams({ appId: frame.app.id }).toString()}` : ''
  const [home, ledger] = [`/${asked}`, `/ledger${asked}`]
  return (
    <header class="top">
      <a class="brand" href={home} aria-label="error-ingestor: to the events">
        <img src={ICON} alt="" width="22" height="22" />
        <span>error-ingestor</span>
      </a>
      {frame.app && <AppSwitch apps={frame.apps} app={frame.app} here={frame.here} />}
      <nav class="pages" aria-label="Pages">
        <a href={home} aria-current={frame.here === 'errors' ? 'page' : undefined}>
          Errors
        </a>
        <a href={ledger} aria-current={frame.here === 'ledger' ? 'page' : undefined}>
          Ledger
        </a>
        <a href="/docs" aria-current={frame.here === 'docs' ? 'page' : undefined}>
          API
        </a>
      </nav>
      {frame.person && <Me person={frame.person} />}
    </header>
  )
}

function Me({ person }: { readonly person: Signed }) {
  const { name, email, role, isByProxy } = person
  return (
    <details class="me" name="menu">
      <summary aria-label={`Signed in as ${name}`}>
        <Text value={name} />
      </summary>
      <div>
        <p>
          <Text value={email ?? name} />
          {role !== undefined && <small>{role}</small>}
        </p>
        {!isByProxy && (
          <form method="post" action="/sign-out">
            <button type="submit">Sign out</button>
            <button class="second" type="submit" name="everywhere" value="1">
              Sign out everywhere
            </button>
          </form>
        )}
      </div>
    </details>
  )
}

function AppSwitch(props: {
  readonly apps: readonly App[]
  readonly app: App
  readonly here: Frame['here']
}) {
  const { apps, app } = props
  const page = props.here === 'ledger' ? '/ledger' : '/'
  if (apps.length < 2) {
    return (
      <span class="app-name">
        <Text value={app.name} />
      </span>
    )
  }
  return (
    <details class="app-switch" name="menu">
      <summary aria-label={`App: ${app.name}. Switch to another`}>
        <Text value={app.name} />
      </summary>
      <ul>
        {apps.map((one) => (
          <li>
            <a
              href={`${page}?${new URLSearchParams({ appId: one.id }).toString()}`}
              aria-current={one.id === app.id ? 'true' : undefined}
            >
              <Text value={one.name} />
              <small>
                <Text value={one.id} />
              </small>
            </a>
          </li>
        ))}
      </ul>
    </details>
  )
}
