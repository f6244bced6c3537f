import { z } from 'zod'
import type { ZodOpenApiOperationObject, ZodOpenApiPathsObject } from 'zod-openapi'
import {
  AppAnswer,
  AppNew,
  AppPatch,
  AppsAnswer,
  AuditAnswer,
  AuditQuery,
  DeletionAnswer,
  KeyAnswer,
  KeyNew,
  KeyRotation,
  KeysAnswer,
  KeysQuery,
  MadeKeyAnswer,
} from './admin-schemas.ts'
import { READ, WRITE, json, keyed, refusals, type RefusalStatus } from './openapi-answers.ts'

/** The operations under `/api/v1/admin`. */
export function adminPaths(): ZodOpenApiPathsObject {
  return { ...appPaths(), ...keyPaths() }
}

const ASKED = [401, 403, 503, ...READ] as const
const CHANGED = [...WRITE.filter((status) => status !== 429), 409] as const
const app = z.object({ app: z.string().describe('Id of the app.') })
const key = z.object({ id: z.string().describe('Id of the key, as `key_0123456789abcdef`.') })

function operation(
  operationId: string,
  summary: string,
  answer: readonly [200 | 201 | 202, string, z.ZodType],
  statuses: readonly RefusalStatus[],
  more: Pick<ZodOpenApiOperationObject, 'requestParams' | 'requestBody'> = {},
): ZodOpenApiOperationObject {
  const [status, words, schema] = answer
  return {
    ...{ operationId, tags: ['Admin'], summary, ...keyed('admin'), ...more },
    responses: { [`${status}` as const]: json(words, schema), ...refusals(...statuses) },
  }
}

const body = (schema: z.ZodType) => ({
  requestBody: { required: true, content: { 'application/json': { schema } } },
})

function appPaths(): ZodOpenApiPathsObject {
  const user = app.extend({ userId: z.string().describe('Id of the user, URL-encoded.') })
  return {
    '/api/v1/admin/apps': {
      get: operation('adminApps', 'All apps', [200, 'The apps.', AppsAnswer], [401, 403, ...READ]),
      post: operation('adminCreateApp', 'Make an app', [201, 'Made.', AppAnswer], CHANGED, {
        ...body(AppNew),
      }),
    },
    '/api/v1/admin/apps/{app}': {
      get: operation(
        'adminApp',
        'One app',
        [200, 'The app.', AppAnswer],
        [401, 403, 404, ...READ],
        {
          requestParams: { path: app },
        },
      ),
      patch: operation(
        'adminChangeApp',
        'Change an app',
        [200, 'Changed.', AppAnswer],
        [...CHANGED, 404],
        { requestParams: { path: app }, ...body(AppPatch) },
      ),
    },
    '/api/v1/admin/apps/{app}/users/{userId}': {
      delete: operation(
        'adminForgetUser',
        'Delete all events of a user',
        [202, 'Begun; ask for the deletion until it is done.', DeletionAnswer],
        [...ASKED, 404],
        { requestParams: { path: user } },
      ),
    },
    '/api/v1/admin/apps/{app}/deletions/{id}': {
      get: operation(
        'adminDeletion',
        'Where a deletion stands',
        [200, 'The deletion.', DeletionAnswer],
        [...ASKED, 404],
        { requestParams: { path: app.extend({ id: z.string().describe('Of the deletion.') }) } },
      ),
    },
  }
}

function keyPaths(): ZodOpenApiPathsObject {
  return {
    '/api/v1/admin/keys': {
      get: operation(
        'adminKeys',
        'Keys',
        [200, 'The keys, none of them told.', KeysAnswer],
        [...([400, 404] as const), ...ASKED],
        { requestParams: { query: KeysQuery } },
      ),
      post: operation(
        'adminCreateKey',
        'Make a key',
        [201, 'Made.', MadeKeyAnswer],
        [...CHANGED, 404],
        body(KeyNew),
      ),
    },
    '/api/v1/admin/keys/{id}': {
      delete: operation(
        'adminRevokeKey',
        'Revoke a key',
        [200, 'Refused from now on, everywhere within seconds.', KeyAnswer],
        [...ASKED, 404, 409],
        { requestParams: { path: key } },
      ),
    },
    '/api/v1/admin/keys/{id}/rotate': {
      post: operation(
        'adminRotateKey',
        'Make a key in the place of another',
        [201, 'Made; the old one goes on for a while.', MadeKeyAnswer],
        [...CHANGED, 404],
        { requestParams: { path: key }, ...body(KeyRotation) },
      ),
    },
    '/api/v1/admin/audit': {
      get: operation(
        'adminAudit',
        'Who changed what',
        [200, 'A page.', AuditAnswer],
        [400, ...ASKED],
        {
          requestParams: { query: AuditQuery },
        },
      ),
    },
  }
}
