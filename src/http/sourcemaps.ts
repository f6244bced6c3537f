import { Hono } from 'hono'
import { z } from 'zod'
import { LIMITS } from '../occurrence.ts'
import { Refusal } from '../refusal.ts'
import type { Ask } from './ask.ts'
import { withJsonBody, type ReadBody } from './json-body.ts'

/** A source map as it was uploaded. */
interface UploadedMap {
  readonly fileName: string
  readonly sourceMap: string
}

/** A stored source map, without its content. */
interface ListedMap {
  readonly fileName: string
  readonly appVersion: string
  /** ISO 8601. */
  readonly createdAt: string
}

/** What `sourceMapRoutes` stands on. */
export interface SourceMapDeps {
  /**
   * The caller, who may change source maps.
   * @throws Refusal `unauthenticated` or `forbidden`.
   */
  readonly admit: (request: Request) => { readonly app: { readonly id: string } | undefined }
  readonly readBody: ReadBody
  readonly ask: Ask
  readonly sourceMaps: {
    readonly put: (appId: string, appVersion: string, maps: readonly UploadedMap[]) => Promise<void>
    readonly list: (appId: string, appVersion: string | undefined) => Promise<readonly ListedMap[]>
    readonly remove: (appId: string, appVersion: string) => Promise<void>
  }
}

/** Source maps in one upload. */
const BATCH_MAPS_MAX = 20
const FILE_NAME_CHARS_MAX = 255

/**
 * A bundle's base name. What stands before the last slash, and a query or fragment, is cut off:
 * frames are matched by their last path segment alone.
 */
const FileName = z
  .string({ error: 'must be a text' })
  .transform((name) => name.replace(/[?#].*$/su, '').replace(/^.*[/\\]/su, ''))
  .pipe(
    z
      .string()
      .min(1, 'must end in a file name')
      .max(FILE_NAME_CHARS_MAX, `must have at most ${FILE_NAME_CHARS_MAX} characters`)
      .regex(/^(?!\.{1,2}$)\P{Cc}*$/u, 'must be a file name, as index.bundle or main.js'),
  )
  .meta({
    description: 'Base name of the bundle; a path before it is cut off.',
    override: { type: 'string', examples: ['index.bundle'] },
  })

const SourceMap = z
  .string({ error: 'must be the source map as a text' })
  .refine(isJsonObject, 'must be a source map, which is a JSON object')
  .describe('The source map as text.')

const AppVersion = z
  .string({ error: 'must be a text' })
  .min(1, 'must not be empty')
  .max(LIMITS.labelBytesMax, `must have at most ${LIMITS.labelBytesMax} characters`)
  .describe('Version of the app that the bundle belongs to.')

/** Body of `POST /api/v1/sourcemaps/upload`. */
export const SourceMapUpload = z.object(
  { appVersion: AppVersion, fileName: FileName, sourceMap: SourceMap },
  'must be an object',
)

/** Body of `POST /api/v1/sourcemaps/upload-batch`. */
export const SourceMapBatch = z.object(
  {
    appVersion: AppVersion,
    sourceMaps: z
      .array(z.object({ fileName: FileName, sourceMap: SourceMap }, 'must be an object'), {
        error: `must be a list of 1 to ${BATCH_MAPS_MAX} source maps`,
      })
      .min(1, 'must hold at least one source map')
      .max(BATCH_MAPS_MAX, `must hold at most ${BATCH_MAPS_MAX} source maps`)
      .refine(areDistinct, 'must not hold two maps of one file name (paths are cut off)'),
  },
  'must be an object',
)

/** Answer to both uploads and to the deletion; `uploaded` after a batch only. */
export const SourceMapsChanged = z.strictObject({
  success: z.literal(true),
  uploaded: z.number().int().optional(),
  message: z.string(),
})

/** Answer of `GET /api/v1/sourcemaps/list`. */
export const SourceMapsListed = z.strictObject({
  success: z.literal(true),
  sourceMaps: z.array(
    z.strictObject({
      fileName: z.string(),
      appVersion: z.string(),
      createdAt: z.string().meta({ format: 'date-time' }),
    }),
  ),
})

/** Query of `GET /api/v1/sourcemaps/list`. */
export const SourceMapsQuery = z.object({
  appVersion: z.string().optional().describe('Only the maps of this version.'),
})

/** The four routes under `/api/v1/sourcemaps`. Refusals are thrown; the app answers them. */
export function sourceMapRoutes(deps: SourceMapDeps): Hono {
  const { admit, ask, sourceMaps } = deps
  const routes = new Hono()
  const ownApp = (request: Request): string => {
    const { app } = admit(request)
    if (app !== undefined) return app.id
    throw new Refusal('forbidden', 'Source maps belong to an app; use an API key of that app.')
  }
  routes.post('/api/v1/sourcemaps/upload', async (c) => {
    const appId = ownApp(c.req.raw)
    return withJsonBody(deps.readBody, c, SourceMapUpload, async ({ appVersion, ...map }) => {
      await ask(c.req.raw, () => sourceMaps.put(appId, appVersion, [map]))
      const message = `Source map uploaded for ${map.fileName} (v${appVersion})`
      return c.json({ success: true, message })
    })
  })
  routes.post('/api/v1/sourcemaps/upload-batch', async (c) => {
    const appId = ownApp(c.req.raw)
    return withJsonBody(
      deps.readBody,
      c,
      SourceMapBatch,
      async ({ appVersion, sourceMaps: maps }) => {
        await ask(c.req.raw, () => sourceMaps.put(appId, appVersion, maps))
        const message = `Uploaded ${maps.length} source maps for v${appVersion}`
        return c.json({ success: true, uploaded: maps.length, message })
      },
    )
  })
  routes.get('/api/v1/sourcemaps/list', async (c) => {
    const appId = ownApp(c.req.raw)
    const asked = c.req.query('appVersion')
    const appVersion = asked === '' ? undefined : asked
    const listed = await ask(c.req.raw, () => sourceMaps.list(appId, appVersion))
    return c.json({ success: true, sourceMaps: listed })
  })
  routes.delete('/api/v1/sourcemaps/:appVersion', async (c) => {
    const appId = ownApp(c.req.raw)
    const appVersion = c.req.param('appVersion')
    await ask(c.req.raw, () => sourceMaps.remove(appId, appVersion))
    return c.json({ success: true, message: `Deleted source maps for v${appVersion}` })
  })
  return routes
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

function areDistinct(maps: readonly { readonly fileName: string }[]): boolean {
  return new Set(maps.map(({ fileName }) => fileName)).size === maps.length
}
