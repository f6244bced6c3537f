import { Hono } from 'hono'
import { z } from 'zod'
import { createDocument } from 'zod-openapi'
import { ProblemAnswer, REFUSALS } from './openapi-answers.ts'
import { documentedPaths, protocolPaths, type DocumentedSchemas } from './openapi-paths.ts'

/** What `openapiRoutes` stands on. */
export interface OpenapiDeps {
  readonly schemas: DocumentedSchemas
  /** Of this service, as in package.json. */
  readonly version: string
  /** Where clients reach us; undefined: at the address they asked. */
  readonly publicUrl: string | undefined
  /** Every protocol that is served; the paths of the native one are documented in full. */
  readonly protocols?: readonly { readonly name: string; readonly paths: readonly string[] }[]
}

const NAME = 'error-ingestor'
const DESCRIPTION =
  'Takes the errors of client apps, keeps every one of them safe, and answers questions about them.'

const LINKS = {
  dashboard: '/',
  docs: '/docs',
  openapi: '/openapi.json',
  ingest: '/api/v1/ingest',
  health: '/health',
  metrics: '/metrics',
} as const

/**
 * `GET /openapi.json`, and the JSON answer of `GET /`. A request for `/` that wants HTML goes on to
 * the next handler, so mount the page for browsers after this.
 */
export function openapiRoutes(deps: OpenapiDeps): Hono {
  const routes = new Hono()
  let text: string | undefined // Made when first asked for: most processes never are.
  routes.get('/openapi.json', (c) => {
    text ??= JSON.stringify(openapiDocument(deps))
    return c.body(text, 200, { 'Content-Type': 'application/json' })
  })
  routes.get('/', async (c, next) => {
    c.header('Vary', 'Accept')
    if (wantsHtml(c.req.header('accept'))) return next()
    return c.json({ name: NAME, version: deps.version, description: DESCRIPTION, links: LINKS })
  })
  return routes
}

/** The OpenAPI 3.1 document, generated from the schemas that validate. */
export function openapiDocument({ schemas, version, publicUrl, protocols = [] }: OpenapiDeps) {
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: NAME,
      version,
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: publicUrl?.replace(/\/+$/, '') ?? '/' }],
    tags: [
      { name: 'Ingest' },
      { name: 'Source maps' },
      { name: 'Dashboard', description: 'In development mode reads need no key.' },
      { name: 'Sign-in', description: 'Pages for people; `POST` only from a page of this server.' },
      { name: 'Admin', description: 'Apps, keys, users and the log of changes.' },
      { name: 'Operations', description: 'Open to everyone who reaches the port.' },
    ],
    paths: { ...protocolPaths(protocols), ...documentedPaths(schemas) },
    components: {
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        bearer: { type: 'http', scheme: 'bearer', description: 'The same API key.' },
      },
      responses: refusalComponents(),
    },
  })
}

function refusalComponents() {
  const code = z.string().describe('The refusal code, for programs.')
  const id = z.string().describe('Also in our log.')
  const seconds = z.string().describe('Seconds after which to try again.')
  return Object.fromEntries(
    Object.entries(REFUSALS).map(([status, [name, description]]) => {
      const retries = status === '429' || status === '503'
      const headers = z.object({
        'X-Error-Code': code,
        'X-Request-Id': id,
        ...(retries ? { 'Retry-After': seconds } : {}),
      })
      const content = { 'application/json': { schema: ProblemAnswer } }
      return [name, { description, headers, content }]
    }),
  )
}

/** Whether HTML is asked for by name, and not as a second choice after JSON. */
function wantsHtml(accept: string | undefined): boolean {
  const html = qualityOf('text/html', accept ?? '')
  return html > 0 && html >= qualityOf('application/json', accept ?? '')
}

function qualityOf(type: string, accept: string): number {
  for (const part of accept.split(',')) {
    const [name, ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
    if (name !== type) continue
    const quality = parameters.find((text) => text.startsWith('q='))
    return quality === undefined ? 1 : Number(quality.slice(2)) || 0
  }
  return 0
}
