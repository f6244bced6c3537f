import { Layout, type Frame } from './layout.tsx'
import { Text } from './text.tsx'

/** The ways in, or how to set one up where there is none; `problem` says why the last try failed. */
export function SignInPage(props: {
  readonly frame: Frame
  readonly ways: { readonly password: boolean; readonly oidc: boolean; readonly proxy: boolean }
  /** Path to go on to. */
  readonly to: string
  readonly problem?: string | undefined
}) {
  const { ways, to, problem } = props
  const hasForm = ways.password || ways.oidc
  return (
    <Layout frame={props.frame} title="Sign in">
      <section class="sign-in card">
        <h1>Sign in</h1>
        {problem !== undefined && (
          <p class="problem" role="alert">
            <Text value={problem} />
          </p>
        )}
        {ways.oidc && (
          <a
            class="button wide"
            href={`/sign-in/provider?${new URLSearchParams({ to }).toString()}`}
          >
            Continue with single sign-on
          </a>
        )}
        {ways.oidc && ways.password && <p class="or">or</p>}
        {ways.password && (
          <form method="post" action="/sign-in">
            <input type="hidden" name="to" value={to} />
            {/* Password managers want a name beside the password. */}
            <input type="text" name="username" value="admin" autocomplete="username" hidden />
            <label for="password">Administrator's password</label>
            <input
              id="password"
              type="password"
              name="password"
              autocomplete="current-password"
              required
              autofocus={!ways.oidc}
            />
            <button class={ways.oidc ? 'wide second' : 'wide'} type="submit">
              Sign in
            </button>
          </form>
        )}
        {!hasForm && (ways.proxy ? <ByProxy /> : <NoWay />)}
      </section>
    </Layout>
  )
}

function ByProxy() {
  return (
    <p>
      The proxy in front of this server signs people in, and it named nobody. Come by its address,
      or ask who runs it.
    </p>
  )
}

function NoWay() {
  return (
    <>
      <p>
        The dashboard is closed, because no way to sign in is set up. Whoever runs this server can
        open it with one of these:
      </p>
      <dl class="pairs wide">
        <div>
          <dt>A password</dt>
          <dd>
            <code>ADMIN_PASSWORD</code> and <code>SESSION_SECRET</code>
          </dd>
        </div>
        <div>
          <dt>Single sign-on</dt>
          <dd>
            <code>OIDC_ISSUER</code>, <code>OIDC_CLIENT_ID</code>, <code>SIGN_IN_RULES</code>,{' '}
            <code>PUBLIC_URL</code> and <code>SESSION_SECRET</code>
          </dd>
        </div>
        <div>
          <dt>oauth2-proxy</dt>
          <dd>
            <code>SIGN_IN_PROXY</code>, <code>TRUSTED_PROXIES</code> and <code>SIGN_IN_RULES</code>
          </dd>
        </div>
      </dl>
      <p>
        The <a href="/docs">API</a> answers to a key with the scope <code>read</code> meanwhile.
      </p>
    </>
  )
}
