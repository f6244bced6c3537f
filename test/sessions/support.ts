import { startServer } from '../../src/node/server.ts'
import { aSite, type Answer, type Site } from '../flows/support.ts'
import { createDatabase } from '../support/database.ts'

/** Keys of the apps `shop` and `blog` of {@link aGuardedSite}. */
export const KEYS = { shop: 'ei_shop_key_of_tests_1', blog: 'ei_blog_key_of_tests_1' } as const
/** What signs in there as administrator. */
export const PASSWORD = 'correct horse battery'
/** What seals sessions there. */
export const SECRET = '0123456789abcdef0123456789abcdef'

const APPS = JSON.stringify(
  Object.entries(KEYS).map(([id, key]) => ({
    id,
    name: id,
    keys: [{ key, scopes: ['ingest', 'read'] }],
  })),
)

/** A server in production mode with two apps, on a database with its schema. */
export async function aGuardedSite(env: Readonly<Record<string, string>> = {}): Promise<Site> {
  const { database } = await createDatabase()
  return aSite(
    { NODE_ENV: 'production', HOST: '127.0.0.1', APPS, CLICKHOUSE_DATABASE: database, ...env },
    startServer,
  )
}

/** Settings with which the administrator signs in by password. */
export const BY_PASSWORD = { ADMIN_PASSWORD: PASSWORD, SESSION_SECRET: SECRET }

/** The `name=value` of each cookie that an answer sets. */
export function cookiesOf({ headers }: Answer): string {
  return headers
    .getSetCookie()
    .map((cookie) => cookie.split(';')[0] ?? '')
    .join('; ')
}

/** A form as a browser of today sends it from a page of `from`. */
export function form(
  site: Pick<Site, 'url'>,
  fields: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): RequestInit {
  return {
    method: 'POST',
    redirect: 'manual',
    headers: { Origin: site.url, 'Sec-Fetch-Site': 'same-origin', ...headers },
    body: new URLSearchParams(fields),
  }
}
