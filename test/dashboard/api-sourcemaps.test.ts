import { describe, expect, test } from 'vitest'
import { DEVELOPMENT_KEY } from '../../src/config.ts'
import { anApi } from './api-support.ts'

const BASE = '/api/v1/sourcemaps'
const headers = { 'X-API-Key': DEVELOPMENT_KEY }
const MAP = JSON.stringify({ version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA' })
const post = (body: unknown) => ({ method: 'POST', headers, body: JSON.stringify(body) })

type Put = readonly [
  appId: string,
  appVersion: string,
  maps: readonly { readonly fileName: string; readonly sourceMap: string }[],
]

/** Routes whose store only writes down what it is told to keep. */
function recording() {
  const puts: Put[] = []
  const sourceMaps = {
    put: (...given: Put) => {
      puts.push(given)
      return Promise.resolve()
    },
    list: () => Promise.resolve([]),
    remove: () => Promise.resolve(),
  }
  return { puts, ...anApi({ store: { sourceMaps } }) }
}

describe('upload', () => {
  test('keeps a map for the app of the key and answers as the contract says', async () => {
    const { ask, puts } = recording()
    const { status, body } = await ask(
      `${BASE}/upload`,
      post({ appVersion: '1.0.0', fileName: 'main.js', sourceMap: MAP, extra: 1 }),
    )
    expect(status).toBe(200)
    expect(body).toEqual({ success: true, message: 'Source map uploaded for main.js (v1.0.0)' })
    expect(puts).toEqual([['test-app', '1.0.0', [{ fileName: 'main.js', sourceMap: MAP }]]])
  })

  test.each([
    ['index.bundle', 'index.bundle'],
    ['https://cdn.example.com/assets/main.js?v=1#x', 'main.js'],
    ['/../../etc/passwd', 'passwd'],
    ['C:\\build\\main.js', 'main.js'],
    ['main.js?path=/x/y', 'main.js'],
    ['größe 😀.js', 'größe 😀.js'],
    ['a'.repeat(255), 'a'.repeat(255)],
  ])('reduces the file name %s to its base name', async (fileName, base) => {
    const { ask, puts } = recording()
    const { body } = await ask(
      `${BASE}/upload`,
      post({ appVersion: '1.0.0', fileName, sourceMap: MAP }),
    )
    expect(body['message']).toBe(`Source map uploaded for ${base} (v1.0.0)`)
    expect(puts[0]?.[2][0]?.fileName).toBe(base)
  })

  test.each([
    [{ fileName: '' }, 'fileName must end in a file name'],
    [{ fileName: 'dist/' }, 'fileName must end in a file name'],
    [{ fileName: '..' }, 'fileName must be a file name'],
    [{ fileName: 'a/.' }, 'fileName must be a file name'],
    [{ fileName: 'a\0b' }, 'fileName must be a file name'],
    [{ fileName: 'a\nb' }, 'fileName must be a file name'],
    [{ fileName: 'a'.repeat(256) }, 'fileName must have at most 255 characters'],
    [{ fileName: 7 }, 'fileName must be a text'],
    [{ fileName: undefined }, 'fileName must be a text'],
    [{ appVersion: '' }, 'appVersion must not be empty'],
    [{ appVersion: null }, 'appVersion must be a text'],
    [{ appVersion: 'v'.repeat(1_025) }, 'appVersion must have at most 1024 characters'],
    [{ sourceMap: 'not json' }, 'sourceMap must be a source map, which is a JSON object'],
    [{ sourceMap: '' }, 'sourceMap must be a source map'],
    [{ sourceMap: '[]' }, 'sourceMap must be a source map'],
    [{ sourceMap: 'null' }, 'sourceMap must be a source map'],
    [{ sourceMap: '{"version":3' }, 'sourceMap must be a source map'],
    [{ sourceMap: { version: 3 } }, 'sourceMap must be the source map as a text'],
  ])('refuses %j', async (wrong, error) => {
    const { ask, puts } = recording()
    const { status, body } = await ask(
      `${BASE}/upload`,
      post({ appVersion: '1.0.0', fileName: 'main.js', sourceMap: MAP, ...wrong }),
    )
    expect(status).toBe(400)
    expect(body['error']).toContain(error)
    expect(puts).toEqual([])
  })

  test.each([
    ['', 'The body must be JSON'],
    ['{', 'The body must be JSON'],
    [new Uint8Array([0x22, 0xff, 0x22]), 'The body must be JSON in UTF-8'],
    ['[]', 'The body must be an object'],
    ['null', 'The body must be an object'],
  ])('refuses the body %j', async (raw, error) => {
    const { ask } = recording()
    for (const route of ['upload', 'upload-batch']) {
      const { status, body } = await ask(`${BASE}/${route}`, { method: 'POST', headers, body: raw })
      expect(status).toBe(400)
      expect(body['error']).toContain(error)
    }
  })
})

describe('upload-batch', () => {
  const maps = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ fileName: `dist/${i}.js`, sourceMap: MAP }))

  test.each([1, 20])('keeps %i maps at once', async (count) => {
    const { ask, puts } = recording()
    const { status, body } = await ask(
      `${BASE}/upload-batch`,
      post({ appVersion: '2.0.0', sourceMaps: maps(count) }),
    )
    expect(status).toBe(200)
    const message = `Uploaded ${count} source maps for v2.0.0`
    expect(body).toEqual({ success: true, uploaded: count, message })
    expect(puts.map(([, , kept]) => kept.length)).toEqual([count])
  })

  test.each([
    [maps(0), 'sourceMaps must hold at least one source map'],
    [maps(21), 'sourceMaps must hold at most 20 source maps'],
    [undefined, 'sourceMaps must be a list of 1 to 20 source maps'],
    [{}, 'sourceMaps must be a list of 1 to 20 source maps'],
    [[...maps(1), { fileName: 'b.js', sourceMap: 'x' }], 'sourceMaps.1.sourceMap must be a source'],
    [[...maps(1), 7], 'sourceMaps.1 must be an object'],
    [[...maps(1), { fileName: '0.js', sourceMap: MAP }], 'must not hold two maps of one file name'],
  ])('refuses the whole batch: %#', async (sourceMaps, error) => {
    const { ask, puts } = recording()
    const { status, body } = await ask(
      `${BASE}/upload-batch`,
      post({ appVersion: '2.0.0', sourceMaps }),
    )
    expect(status).toBe(400)
    expect(body['error']).toContain(error)
    expect(puts).toEqual([])
  })
})

test('the room of a body is given back however its request ends', async () => {
  const { sourceMapRoutes } = await import('../../src/http/sourcemaps.ts')
  let held = 0
  const routes = sourceMapRoutes({
    admit: () => ({ app: { id: 'test-app' } }),
    readBody: async (request) => {
      held += 1
      const bytes = new Uint8Array(await request.arrayBuffer())
      return { bytes, spend: () => undefined, release: () => (held -= 1) }
    },
    ask: (request, question) => question(request.signal),
    sourceMaps: {
      put: () =>
        held === 1 ? Promise.resolve() : Promise.reject(new Error('Released too early.')),
      list: () => Promise.resolve([]),
      remove: () => Promise.resolve(),
    },
  })
  routes.onError((error, c) => c.text(error.message, 400))
  const good = post({ appVersion: '1', fileName: 'a.js', sourceMap: MAP })
  expect((await routes.request(`${BASE}/upload`, good)).status).toBe(200)
  expect((await routes.request(`${BASE}/upload`, post({}))).status).toBe(400)
  expect(held).toBe(0)
})
