import { readFile } from 'node:fs/promises'
import { build } from 'esbuild'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  plugins: [
    {
      // The same three kinds of import that esbuild.config.ts turns into text.
      name: 'text-imports',
      enforce: 'pre',
      resolveId: (id) => (id.startsWith('island:') ? `\0${id}` : undefined),
      async load(id) {
        if (id.startsWith('\0island:')) {
          const entry = `src/dashboard/assets/${id.slice('\0island:'.length)}.ts`
          const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false })
          return `export default ${JSON.stringify(outputFiles[0]?.text ?? '')}`
        }
        if (!/\.(sql|css)$/.test(id) || id.includes('node_modules')) return undefined
        return {
          code: `export default ${JSON.stringify(await readFile(id, 'utf8'))}`,
          moduleType: 'js',
        }
      },
    },
  ],
  oxc: { jsx: { runtime: 'automatic', importSource: 'hono/jsx' } },
  test: {
    include: ['test/**/*.test.{ts,tsx}'],
    globalSetup: ['test/support/engine.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two cores, one ClickHouse: more files at once only wait for each other.
    maxWorkers: 2,
  },
})
