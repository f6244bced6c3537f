// Builds dist/: about 0.2 s, so `npm start` simply builds every time and is never stale.
import { spawn, type ChildProcess } from 'node:child_process'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { context, type BuildOptions, type Plugin } from 'esbuild'

/** The page's one island is bundled first and imported as text by the server (`island:` imports). */
const island: Plugin = {
  name: 'island',
  setup(build) {
    build.onResolve({ filter: /^island:/ }, ({ path }) => ({
      path: path.slice('island:'.length),
      namespace: 'island',
    }))
    build.onLoad({ filter: /.*/, namespace: 'island' }, async ({ path }) => {
      const entry = `src/dashboard/assets/${path}.ts`
      const { outputFiles, metafile } = await build.esbuild.build({
        entryPoints: [entry],
        bundle: true,
        minify: true,
        write: false,
        metafile: true,
        format: 'iife',
        target: 'es2020',
      })
      return {
        contents: outputFiles[0]?.text ?? '',
        loader: 'text',
        watchFiles: Object.keys(metafile.inputs),
      }
    })
  },
}

const shared: BuildOptions = {
  bundle: true,
  format: 'esm',
  outdir: 'dist',
  jsx: 'automatic',
  jsxImportSource: 'hono/jsx',
  loader: { '.sql': 'text', '.css': 'text', '.svg': 'text' },
  plugins: [island],
  logLevel: 'warning',
  metafile: true,
}

const node: BuildOptions = {
  ...shared,
  entryPoints: ['src/main.ts', 'src/index.ts', 'src/node/engine.ts'],
  platform: 'node',
  target: 'node24',
  packages: 'external',
  sourcemap: true,
  splitting: true,
}

// Workers and Vercel have no node_modules: everything is in the file.
const edge: BuildOptions = {
  ...shared,
  entryPoints: ['src/edge.ts'],
  platform: 'browser',
  minify: true,
  conditions: ['worker', 'browser'],
  target: 'es2022',
}

const builds = await Promise.all([context(node), context(edge)])
const results = await Promise.all(builds.map((build) => build.rebuild()))
await removeAllBut(new Set(results.flatMap(({ metafile }) => Object.keys(metafile?.outputs ?? {}))))
if (process.argv.includes('--watch')) await developing()
else await Promise.all(builds.map((build) => build.dispose()))

/** Chunks are named by their content, so those of older builds would stay. */
async function removeAllBut(made: ReadonlySet<string>): Promise<void> {
  for (const entry of await readdir('dist', { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile() && !made.has(path)) await rm(path)
  }
}

/** Restarts the server after each rebuild that worked. */
async function developing(): Promise<void> {
  let server: ChildProcess | undefined
  const restart: Plugin = {
    name: 'restart',
    setup(build) {
      build.onEnd(({ errors }) => {
        if (errors.length > 0) return
        const next = () => {
          server = spawn(process.execPath, ['dist/main.js', 'serve'], { stdio: 'inherit' })
        }
        if (server?.exitCode === null && server.kill('SIGTERM')) server.once('exit', next)
        else next()
      })
    },
  }
  await Promise.all(builds.map((build) => build.dispose()))
  await (await context({ ...node, plugins: [island, restart] })).watch()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      server?.once('exit', () => process.exit(0))
      server?.kill(signal)
    })
  }
}
