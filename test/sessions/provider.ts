import { once } from 'node:events'
import { createServer } from 'node:http'
import Provider from 'oidc-provider'

/** A real OpenID provider on loopback, where people sign in with any password. */
export interface TestProvider {
  readonly issuer: string
  readonly close: () => Promise<void>
}

/** The claims of people by their login; anybody else is unknown there. */
export type People = Readonly<Record<string, Readonly<Record<string, unknown>>>>

/** The client that the provider knows. */
export const CLIENT = { id: 'error-ingestor', secret: 'a-secret-of-tests-0123456789' } as const

/** Starts oidc-provider with its own pages; it wants PKCE and knows one client of `origin`. */
export async function startProvider(origin: () => string, people: People): Promise<TestProvider> {
  const server = createServer((request, response) => {
    void provider.callback()(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const issuer = `http://localhost:${typeof address === 'object' && address !== null ? address.port : 0}`
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        redirect_uris: [`${origin()}/sign-in/callback`],
        response_types: ['code'],
        grant_types: ['authorization_code'],
      },
    ],
    pkce: { required: () => true },
    scopes: ['openid', 'email', 'profile', 'groups'],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name'],
      groups: ['groups'],
    },
    findAccount: (_context, login) => ({
      accountId: login,
      claims: () => Promise.resolve({ sub: login, ...people[login] }),
    }),
    cookies: { keys: ['a key of tests'] },
  })
  return {
    issuer,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
