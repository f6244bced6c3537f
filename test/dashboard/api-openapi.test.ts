import { Hono } from 'hono'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { dashboardApi } from '../../src/dashboard/api.ts'
import { dashboardSchemas } from '../../src/dashboard/answers.ts'
import { healthRoutes } from '../../src/http/health.ts'
import { openapiDocument, openapiRoutes, type OpenapiDeps } from '../../src/http/openapi.ts'
import { sourceMapRoutes } from '../../src/http/sourcemaps.ts'
import { NativeBatch } from '../../src/protocols/native/event.ts'

const deps: OpenapiDeps = {
  schemas: { nativeBatch: NativeBatch, dashboard: dashboardSchemas },
  version: '1.2.3',
  publicUrl: undefined,
}
const unused = () => expect.unreachable()

/** Every route of ours, with parts that must not be asked. */
function routesOf(): string[] {
  const admitted = { app: undefined }
  const app = new Hono()
  app.route(
    '/',
    healthRoutes({
      storePing: unused,
      schemaVersion: unused,
      schemaNeeded: 1,
      spoolStatus: unused,
      stopping: unused,
      readyWithoutStore: false,
      metrics: unused,
      nowMs: unused,
    }),
  )
  app.route('/', openapiRoutes(deps))
  app.route(
    '/',
    sourceMapRoutes({
      admit: () => admitted,
      readBody: unused,
      ask: unused,
      sourceMaps: { put: unused, list: unused, remove: unused },
    }),
  )
  app.route(
    '/',
    dashboardApi({
      store: {
        events: unused,
        event: unused,
        trends: unused,
        codes: unused,
        issues: unused,
        ledger: unused,
      },
      settleLedger: unused,
      admitRead: () => admitted,
      apps: () => [],
      ask: unused,
      originOf: ({ url }) => new URL(url).origin,
      nowMs: unused,
    }),
  )
  const ours = app.routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
  return [...ours, ...OTHERS]
}

/** Routes of the intake, of the admin API and of the pages. */
const OTHERS = [
  'GET /api/v1/admin/apps',
  'POST /api/v1/admin/apps',
  'GET /api/v1/admin/apps/{app}',
  'PATCH /api/v1/admin/apps/{app}',
  'DELETE /api/v1/admin/apps/{app}/users/{userId}',
  'GET /api/v1/admin/apps/{app}/deletions/{id}',
  'GET /api/v1/admin/keys',
  'POST /api/v1/admin/keys',
  'DELETE /api/v1/admin/keys/{id}',
  'POST /api/v1/admin/keys/{id}/rotate',
  'GET /api/v1/admin/audit',
  'POST /api/v1/ingest',
  'GET /api/v1/ingest/test',
  'GET /docs',
  'GET /errors/{id}',
  'GET /ledger',
  'GET /assets/{name}',
  'GET /sign-in',
  'POST /sign-in',
  'GET /sign-in/provider',
  'GET /sign-in/callback',
  'POST /sign-out',
]

const METHODS = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options', 'trace'] as const
const Answer = z
  .looseObject({ description: z.string().min(1) })
  .or(z.strictObject({ $ref: z.string() }))
const Parameter = z.looseObject({
  name: z.string().min(1),
  in: z.enum(['query', 'header', 'path', 'cookie']),
  schema: z.looseObject({}),
})
const Operation = z.looseObject({
  operationId: z.string().min(1),
  summary: z.string().min(1),
  tags: z.array(z.string()).min(1),
  parameters: z.array(Parameter).optional(),
  responses: z.record(z.string().regex(/^[1-5]\d\d$/), Answer),
  security: z.array(z.record(z.string(), z.array(z.string()))),
})
/** The parts of OpenAPI 3.1 that we use, as its specification demands them. */
const Document = z.strictObject({
  openapi: z.string().regex(/^3\.1\.\d+$/),
  info: z.looseObject({ title: z.string().min(1), version: z.string().min(1) }),
  servers: z.array(z.looseObject({ url: z.string().min(1) })),
  tags: z.array(z.looseObject({ name: z.string() })),
  paths: z.record(z.string().startsWith('/'), z.partialRecord(z.enum(METHODS), Operation)),
  components: z.looseObject({
    schemas: z.record(z.string().regex(/^[\w.-]+$/), z.looseObject({})),
    responses: z.record(z.string(), z.looseObject({ description: z.string() })),
    securitySchemes: z.record(z.string(), z.looseObject({ type: z.string() })),
  }),
})

function theDocument() {
  const json: unknown = JSON.parse(JSON.stringify(openapiDocument(deps)))
  return { json, document: Document.parse(json) }
}

function operations() {
  return Object.entries(theDocument().document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
}

describe('the OpenAPI document', () => {
  test('has every field that OpenAPI 3.1 demands, and unique operation ids', () => {
    const ids = operations().map(({ operation }) => operation.operationId)
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('holds every reference it makes, every tag and every security scheme it names', () => {
    const { json, document } = theDocument()
    const text = JSON.stringify(json)
    const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => path ?? '')
    expect(references.length).toBeGreaterThan(20)
    for (const reference of references) {
      const target = reference
        .split('/')
        .reduce<unknown>((at, name) => z.looseObject({}).parse(at)[name], json)
      expect(target, reference).toBeDefined()
    }
    const tags = document.tags.map(({ name }) => name)
    const schemes = Object.keys(document.components.securitySchemes)
    for (const { operation } of operations()) {
      for (const tag of operation.tags) expect(tags).toContain(tag)
      for (const scheme of operation.security.flatMap((one) => Object.keys(one))) {
        expect(schemes).toContain(scheme)
      }
    }
  })

  test('declares exactly the parameters of each path', () => {
    for (const { path, operation } of operations()) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      const declared = (operation.parameters ?? []).filter((one) => one.in === 'path')
      expect(declared.map(({ name }) => name)).toEqual(inPath)
    }
  })

  test('lists every route that is served, and none that is not', () => {
    const listed = operations().map(({ method, path }) => `${method.toUpperCase()} ${path}`)
    expect(listed.toSorted()).toEqual(routesOf().toSorted())
  })

  test('lists the ways of every protocol, and the native one with its schema', () => {
    const protocols = [
      { name: 'native', paths: ['/api/v1/ingest'] },
      { name: 'sentry', paths: ['/api/:project{[0-9]+}/envelope/', '/tunnel'] },
    ]
    const { paths } = Document.parse(
      JSON.parse(JSON.stringify(openapiDocument({ ...deps, protocols }))),
    )
    expect(paths['/tunnel']?.post?.responses).toHaveProperty('429')
    expect(paths['/api/{project}/envelope/']?.post?.parameters).toMatchObject([
      { in: 'path', name: 'project' },
    ])
    expect(paths['/api/v1/ingest']?.post?.operationId).toBe('ingest')
  })

  test('says every status that an operation can answer', () => {
    const statuses = Object.fromEntries(
      operations().map(({ method, path, operation }) => [
        `${method} ${path}`,
        Object.keys(operation.responses).map(Number),
      ]),
    )
    expect(statuses['post /api/v1/ingest']).toEqual([
      200, 400, 401, 403, 408, 413, 415, 429, 500, 503,
    ])
    expect(statuses['get /dashboard/api/errors']).toEqual([200, 400, 401, 403, 408, 500, 503])
    expect(statuses['get /dashboard/api/errors/{id}']).toContain(404)
    expect(statuses['get /health/ready']).toEqual([200, 503])
    expect(statuses['get /health/live']).toEqual([200])
  })

  test('documents the limits that validate', () => {
    const errors = operations().find(({ operation }) => operation.operationId === 'listErrors')
    const parameters = errors?.operation.parameters ?? []
    const limit = parameters.find(({ name }) => name === 'limit')
    expect(limit?.schema).toMatchObject({
      type: 'integer',
      minimum: 1,
      maximum: 1_000,
      default: 100,
    })
    expect(limit).not.toMatchObject({ required: true })
    expect(parameters.find(({ name }) => name === 'appId')).toMatchObject({ required: true })
    expect(parameters.find(({ name }) => name === 'startTime')?.schema).toMatchObject({
      type: 'string',
      format: 'date-time',
    })
  })
})

describe('GET /openapi.json', () => {
  test('answers the document as JSON', async () => {
    const response = await openapiRoutes(deps).request('/openapi.json')
    expect(response.headers.get('content-type')).toMatch(/^application\/json/)
    expect(await response.json()).toEqual(theDocument().json)
  })

  test('names the public address as the server where there is one', () => {
    const publicUrl = 'https://errors.example.com/base/'
    const { servers } = openapiDocument({ ...deps, publicUrl })
    expect(servers).toEqual([{ url: 'https://errors.example.com/base' }])
  })
})

describe('GET /', () => {
  const app = new Hono()
  app.route('/', openapiRoutes(deps))
  app.get('/', (c) => c.html('<p>The dashboard</p>'))

  test.each([undefined, '*/*', 'application/json', 'application/json, text/html;q=0.5'])(
    'names version and links for Accept: %s',
    async (accept) => {
      const headers = accept === undefined ? {} : { Accept: accept }
      const response = await app.request('/', { headers })
      expect(response.headers.get('vary')).toBe('Accept')
      expect(await response.json()).toMatchObject({
        name: 'error-ingestor',
        version: '1.2.3',
        links: { openapi: '/openapi.json', docs: '/docs', health: '/health' },
      })
    },
  )

  test.each(['text/html', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'])(
    'leaves browsers to the dashboard: %s',
    async (accept) => {
      const response = await app.request('/', { headers: { Accept: accept } })
      expect(await response.text()).toBe('<p>The dashboard</p>')
      expect(response.headers.get('vary')).toBe('Accept')
    },
  )
})
