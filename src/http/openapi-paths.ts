import { z } from 'zod'
import type { ZodOpenApiOperationObject, ZodOpenApiPathsObject } from 'zod-openapi'
import { adminPaths } from './openapi-admin.ts'
import { HealthAnswer, LiveAnswer, ReadyAnswer, UnreadyAnswer } from './health.ts'
import {
  READ,
  REFUSALS,
  ProblemAnswer,
  WRITE,
  json,
  keyed,
  page,
  refusals,
  type RefusalStatus,
} from './openapi-answers.ts'
import {
  SourceMapBatch,
  SourceMapUpload,
  SourceMapsChanged,
  SourceMapsListed,
  SourceMapsQuery,
} from './sourcemaps.ts'

/** Schemas of parts that this folder must not know: what validates is what is documented. */
export interface DocumentedSchemas {
  readonly nativeBatch: z.ZodType
  readonly dashboard: {
    readonly errorsQuery: z.ZodObject
    readonly errorQuery: z.ZodObject
    readonly trendsQuery: z.ZodObject
    readonly codesQuery: z.ZodObject
    readonly issuesQuery: z.ZodObject
    readonly ledgerQuery: z.ZodObject
    readonly ledgerAnswer: z.ZodType
    readonly errorsAnswer: z.ZodType
    readonly errorAnswer: z.ZodType
    readonly trendsAnswer: z.ZodType
    readonly codesAnswer: z.ZodType
    readonly issuesAnswer: z.ZodType
    readonly appsAnswer: z.ZodType
  }
}

const RejectedEvents = z
  .array(
    z.object({
      index: z.number().int().min(0).describe('Place in the request, from 0.'),
      id: z.string().nullable(),
      error: z.string(),
    }),
  )
  .describe('The events that were not understood; the others are safe.')

const IngestAnswer = z
  .object({
    success: z.literal(true),
    accepted: z.number().int().min(1).describe('Events that are safe: a crash cannot lose them.'),
    rejected: RejectedEvents.optional(),
  })
  .meta({ id: 'IngestAnswer' })

const IngestProblem = z
  .object({ ...ProblemAnswer.shape, rejected: RejectedEvents.optional() })
  .meta({ id: 'IngestProblem' })

const KeyAnswer = z.object({
  success: z.literal(true),
  appId: z.string(),
  appName: z.string(),
})

/**
 * What a protocol other than ours promises here: where it listens, how it is refused. What its
 * bodies look like is for its own specification to say.
 */
export function protocolPaths(
  protocols: readonly { readonly name: string; readonly paths: readonly string[] }[],
): ZodOpenApiPathsObject {
  const bytes = { schema: { type: 'string' as const, format: 'binary' } }
  const ways = protocols.flatMap(({ name, paths }) => paths.map((path) => ({ name, path })))
  return Object.fromEntries(
    ways.map(({ name, path }, i) => {
      const names = [...path.matchAll(/:(\w+)/g)].map(([, found]) => found ?? '')
      const params = z.object(Object.fromEntries(names.map((one) => [one, z.string()])))
      const post: ZodOpenApiOperationObject = {
        operationId: `${name}${i}`,
        tags: ['Ingest'],
        summary: `Take events as ${name} clients send them`,
        ...keyed('ingest'),
        ...(names.length > 0 && { requestParams: { path: params } }),
        requestBody: { required: true, content: { '*/*': bytes } },
        responses: {
          200: { description: 'Taken, in the words of the protocol.' },
          ...Object.fromEntries(
            WRITE.map((status) => [
              `${status}` as const,
              { description: `${REFUSALS[status][1]} In the words of the protocol.` },
            ]),
          ),
        },
      }
      return [path.replace(/:(\w+)(\{[^}]*\})?/g, '{$1}'), { post }]
    }),
  )
}

/** Every operation of the native, source map, dashboard and operations APIs. */
export function documentedPaths(schemas: DocumentedSchemas): ZodOpenApiPathsObject {
  return {
    ...ingestPaths(schemas),
    ...sourceMapPaths(),
    ...dashboardPaths(schemas),
    ...signInPaths(),
    ...adminPaths(),
    ...operationsPaths(),
    ...pagePaths(),
  }
}

function ingestPaths({ nativeBatch }: DocumentedSchemas): ZodOpenApiPathsObject {
  const encodings = z.enum(['gzip', 'deflate', 'br', 'zstd']).optional()
  return {
    '/api/v1/ingest': {
      post: {
        operationId: 'ingest',
        tags: ['Ingest'],
        summary: 'Take events',
        ...keyed('ingest'),
        requestParams: { header: z.object({ 'Content-Encoding': encodings }) },
        requestBody: {
          required: true,
          content: { 'application/json': { schema: nativeBatch } },
        },
        responses: {
          200: json('All or some events are accepted.', IngestAnswer),
          ...refusals(...WRITE),
          400: json('Nothing was accepted; `rejected` says why, event by event.', IngestProblem),
        },
      },
    },
    '/api/v1/ingest/test': {
      get: {
        operationId: 'testKey',
        tags: ['Ingest'],
        summary: 'Try an API key',
        ...keyed('ingest'),
        responses: { 200: json('The key works.', KeyAnswer), ...refusals(401, 403, ...READ) },
      },
    },
  }
}

function sourceMapPaths(): ZodOpenApiPathsObject {
  const upload = (id: string, summary: string, body: z.ZodType): ZodOpenApiOperationObject => ({
    operationId: id,
    tags: ['Source maps'],
    summary,
    ...keyed('sourcemaps'),
    requestBody: { required: true, content: { 'application/json': { schema: body } } },
    responses: { 200: json('Stored.', SourceMapsChanged), ...refusals(...WRITE) },
  })
  const rest = { tags: ['Source maps'], ...keyed('sourcemaps') }
  return {
    '/api/v1/sourcemaps/upload': {
      post: upload('uploadSourceMap', 'Upload a source map', SourceMapUpload),
    },
    '/api/v1/sourcemaps/upload-batch': {
      post: upload('uploadSourceMaps', 'Upload source maps of one version', SourceMapBatch),
    },
    '/api/v1/sourcemaps/list': {
      get: {
        operationId: 'listSourceMaps',
        summary: 'List source maps',
        ...rest,
        requestParams: { query: SourceMapsQuery },
        responses: {
          200: json('The maps, without their content.', SourceMapsListed),
          ...refusals(401, 403, 503, ...READ),
        },
      },
    },
    '/api/v1/sourcemaps/{appVersion}': {
      delete: {
        operationId: 'deleteSourceMaps',
        summary: 'Delete the source maps of one version',
        ...rest,
        requestParams: { path: z.object({ appVersion: z.string() }) },
        responses: {
          200: json('Deleted.', SourceMapsChanged),
          ...refusals(401, 403, 503, ...READ),
        },
      },
    },
  }
}

function dashboardPaths({ dashboard: d }: DocumentedSchemas): ZodOpenApiPathsObject {
  const question = (
    operationId: string,
    summary: string,
    answer: z.ZodType,
    requestParams: ZodOpenApiOperationObject['requestParams'],
    ...statuses: readonly RefusalStatus[]
  ): ZodOpenApiOperationObject => ({
    operationId,
    tags: ['Dashboard'],
    summary,
    ...keyed('read'),
    ...(requestParams === undefined ? {} : { requestParams }),
    responses: { 200: json('The answer.', answer), ...refusals(...statuses, 401, 403, ...READ) },
  })
  const id = z.string().describe('Id of the event: a UUID in either case.')
  const one = { path: z.object({ id }), query: d.errorQuery }
  const { errorsAnswer, errorAnswer, trendsAnswer, codesAnswer } = d
  const { issuesAnswer, ledgerAnswer, appsAnswer } = d
  const ask = (...args: Parameters<typeof question>) => ({ get: question(...args) })
  return {
    '/dashboard/api/errors': ask(
      'listErrors',
      'Events, newest first',
      errorsAnswer,
      { query: d.errorsQuery },
      400,
      503,
    ),
    '/dashboard/api/errors/{id}': ask('getError', 'One event', errorAnswer, one, 400, 404, 503),
    '/dashboard/api/trends': ask(
      'listTrends',
      'Events per hour or day',
      trendsAnswer,
      { query: d.trendsQuery },
      400,
      503,
    ),
    '/dashboard/api/codes': ask(
      'listCodes',
      'Error codes with counts',
      codesAnswer,
      { query: d.codesQuery },
      400,
      503,
    ),
    '/dashboard/api/issues': ask(
      'listIssues',
      'Issues with counts',
      issuesAnswer,
      { query: d.issuesQuery },
      400,
      503,
    ),
    '/dashboard/api/ledger': ask(
      'readLedger',
      'How events ended, by hour or day',
      ledgerAnswer,
      { query: d.ledgerQuery },
      400,
      503,
    ),
    '/dashboard/api/apps': ask('listApps', 'Apps that the key may read', appsAnswer, undefined),
  }
}

function signInPaths(): ZodOpenApiPathsObject {
  const to = z.string().optional().describe('Path to go on to.')
  const form = (fields: z.ZodType) => ({
    required: true,
    content: { 'application/x-www-form-urlencoded': { schema: fields } },
  })
  const onward = { description: 'Onward, to the path in `Location`.' }
  const cannot = page('The sign-in page, which says why not.')
  const rest = { tags: ['Sign-in'], security: [] }
  return {
    '/sign-in': {
      get: {
        ...{ operationId: 'signInPage', summary: 'Ways to sign in', ...rest },
        requestParams: { query: z.object({ to }) },
        responses: { 200: page('A page.'), 303: onward, 503: cannot },
      },
      post: {
        ...{ operationId: 'signIn', summary: 'Sign in with the password', ...rest },
        requestBody: form(z.object({ password: z.string(), to })),
        responses: {
          ...{ 303: onward, 401: cannot, 403: cannot, 404: cannot, 429: cannot },
          ...refusals(400, 408, 413, 500),
        },
      },
    },
    '/sign-in/provider': {
      get: {
        ...{ operationId: 'signInProvider', summary: 'Go to the OpenID provider', ...rest },
        requestParams: { query: z.object({ to }) },
        responses: { 303: onward, 404: cannot, 503: cannot },
      },
    },
    '/sign-in/callback': {
      get: {
        ...{ operationId: 'signInCallback', summary: 'Come back from the provider', ...rest },
        responses: { 303: onward, 401: cannot, 403: cannot, 404: cannot, 503: cannot },
      },
    },
    '/sign-out': {
      post: {
        ...{ operationId: 'signOut', summary: 'End the session, or all of this person', ...rest },
        requestBody: form(z.object({ everywhere: z.literal('1').optional() })),
        responses: { 303: onward, ...refusals(400, 403, 408, 413, 500, 503) },
      },
    },
  }
}

/** What everybody may ask, and browsers are shown. */
const open = (
  operationId: string,
  summary: string,
  responses: ZodOpenApiOperationObject['responses'],
) => ({ get: { operationId, tags: ['Operations'], summary, security: [], responses } })
const TO_SIGN_IN = { description: 'To the sign-in page, for a browser without a session.' }

function operationsPaths(): ZodOpenApiPathsObject {
  const metrics = { 'text/plain': { schema: z.string() } }
  const anyObject = z.record(z.string(), z.unknown())
  return {
    '/health': open('health', 'Health with dependencies', {
      200: json('Events are accepted; `degraded` while ClickHouse is away.', HealthAnswer),
      503: json('Events cannot be accepted.', HealthAnswer),
    }),
    '/health/live': open('live', 'Whether the process runs', { 200: json('Yes.', LiveAnswer) }),
    '/health/ready': open('ready', 'Whether to send requests here', {
      200: json('Yes.', ReadyAnswer),
      503: json('No, and why.', UnreadyAnswer),
    }),
    '/metrics': open('metrics', 'Metrics for Prometheus', {
      200: { description: 'Prometheus text, or OpenMetrics by `Accept`.', content: metrics },
      ...refusals(500),
    }),
    '/openapi.json': open('openapi', 'This document', {
      200: json('OpenAPI 3.1.', anyObject),
    }),
    '/docs': open('docs', 'This document, to read', { 200: page('A page.') }),
  }
}

function pagePaths(): ZodOpenApiPathsObject {
  return {
    '/errors/{id}': {
      get: {
        ...open('errorPage', 'One event, as a page', {
          200: page('A page.'),
          303: TO_SIGN_IN,
          404: page('There is no such event.'),
          503: page('The store is away.'),
        }).get,
        requestParams: { path: z.object({ id: z.string() }) },
      },
    },
    '/ledger': open('ledgerPage', 'How events ended, as a page', {
      200: page('A page.'),
      303: TO_SIGN_IN,
      403: page('That is for readers of all apps.'),
      503: page('The store is away.'),
    }),
    '/assets/{name}': {
      get: {
        ...open('asset', 'Scripts and styles of the pages', {
          200: { description: 'The file.' },
          ...refusals(404),
        }).get,
        requestParams: { path: z.object({ name: z.string() }) },
      },
    },
    '/': open('index', 'The dashboard, or where everything is', {
      200: {
        description: 'The dashboard for browsers, else names and links.',
        content: {
          'application/json': { schema: z.record(z.string(), z.unknown()) },
          'text/html': { schema: z.string() },
        },
      },
      303: TO_SIGN_IN,
    }),
  }
}
