import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { defineConfig } from 'vitest/config'

const [ISLAND, STYLE] = ['\0island:', '\0style:']

export default defineConfig({
  plugins: [
    {
      // The same three kinds of import that esbuild.config.ts turns into text.
      name: 'text-imports',
      enforce: 'pre',
      resolveId(id, importer = '') {
        if (id.startsWith('island:')) return `\0${id}`
        // Under another name, because vitest empties whatever ends in .css.
        if (/^\.{1,2}\/.*\.css$/.test(id)) return `${STYLE}${join(dirname(importer), id)}:text`
        return undefined
      },
      async load(id) {
        if (id.startsWith(ISLAND)) {
          const entry = `src/dashboard/assets/${id.slice(ISLAND.length)}.ts`
          const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false })
          return `export default ${JSON.stringify(outputFiles[0]?.text ?? '')}`
        }
        const isStyle = id.startsWith(STYLE)
        if (!isStyle && (!id.endsWith('.sql') || id.includes('node_modules'))) return undefined
        const path = isStyle ? id.slice(STYLE.length, -':text'.length) : id
        return {
          code: `export default ${JSON.stringify(await readFile(path, 'utf8'))}`,
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
    // Some promises are about time, and a machine may be busy: what fails once is tried once more, and shown.
    retry: 1,
  },
})
