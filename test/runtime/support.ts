import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { EdgeRuntime, runServer } from 'edge-runtime'
import { build } from 'esbuild'
import { Miniflare } from 'miniflare'

/** The bundle that is shipped. `npm test` builds it first; so must whoever runs this alone. */
export const BUNDLE = fileURLToPath(new URL('../../dist/edge.js', import.meta.url))

/** A running edge. */
export interface Edge {
  readonly fetch: (path: string, init?: RequestInit) => Promise<Response>
  readonly close: () => Promise<unknown>
}

/** Starts the bundle in a runtime with these settings. */
export type StartEdge = (env: Readonly<Record<string, string>>) => Promise<Edge>

/** Cloudflare's own runtime, with the worker that the README shows. */
export const workerd: StartEdge = async (env) => {
  const modules = [
    {
      type: 'ESModule' as const,
      path: 'worker.js',
      contents: "import app from './edge.js'\nexport default { fetch: app.fetch }\n",
    },
    { type: 'ESModule' as const, path: 'edge.js', contents: await readFile(BUNDLE, 'utf8') },
  ]
  const miniflare = new Miniflare({ modules, bindings: env, compatibilityDate: '2026-01-01' })
  const url = await miniflare.ready
  return {
    fetch: (path, init) => fetch(new URL(path, url), init),
    close: () => miniflare.dispose(),
  }
}

/** Vercel's own runtime, with the function that the README shows; Vercel bundles it as is done here. */
export const edgeRuntime: StartEdge = async (env) => {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        import * as route from 'route'
        if (route.runtime !== 'edge') throw new Error('not for the edge')
        const context = { waitUntil: () => undefined }
        addEventListener('fetch', (event) => event.respondWith(route.default.fetch(event.request, context)))`,
    },
    plugins: [
      {
        name: 'route',
        setup(esbuild) {
          esbuild.onResolve({ filter: /^route$/ }, () => ({ path: 'route', namespace: 'route' }))
          esbuild.onLoad({ filter: /.*/, namespace: 'route' }, () => ({
            contents: `import app from ${JSON.stringify(BUNDLE)}
              export const runtime = 'edge'
              export default app`,
            resolveDir: '/',
          }))
        },
      },
    ],
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'browser',
  })
  const runtime = new EdgeRuntime({
    initialCode: outputFiles[0]?.text ?? '',
    extend: (context) => Object.assign(context, { process: { env } }),
  })
  const server = await runServer({ runtime, host: '127.0.0.1', port: 0 })
  return {
    fetch: (path, init) => fetch(new URL(path, server.url), init),
    close: () => server.close(),
  }
}
