import { writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { memoryMb, ready, startProgram, stopProgram } from '../../bench/processes.ts'
import { aSite, errorsOf, KEY, settings, type Answer, type Site } from './support.ts'

const COMPRESS: Readonly<Record<string, (data: string | Uint8Array) => Uint8Array>> = {
  gzip: (data) => gzipSync(data),
  deflate: (data) => deflateSync(data),
  // The best quality takes seconds, and the bomb is as good.
  br: (data) => brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: (data) => zstdCompressSync(data),
}
const ENCODINGS = Object.keys(COMPRESS)
const MIB = 1024 * 1024

function packed(encoding: string, data: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const compress = COMPRESS[encoding]
  if (compress === undefined) throw new Error('no encoding')
  return new Uint8Array(compress(data))
}

let site: Site
beforeAll(async () => {
  site = await aSite({ DELIVERY_AGE_MS_MAX: '20' })
})
afterAll(async () => {
  expect(await site.metric('error_ingestor_bugs_total')).toBe(0)
  await site.close()
})

const SENTRY_AUTH = { 'X-Sentry-Auth': `Sentry sentry_version=7, sentry_key=${KEY}` }
const JSON_TYPE = { 'Content-Type': 'application/json' }
const PROTOBUF_TYPE = { 'Content-Type': 'application/x-protobuf' }
const OTLP_KEY = { 'X-API-Key': KEY }

const send = (
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Readonly<Record<string, string>> = {},
) => site.call(path, { method: 'POST', headers, body })

async function messages(): Promise<readonly unknown[]> {
  const answer = await site.call('/dashboard/api/errors?appId=test-app&limit=1000')
  return errorsOf(answer).map(({ message }) => message)
}

const log = (text: string) =>
  JSON.stringify({
    resourceLogs: [
      { scopeLogs: [{ logRecords: [{ severityNumber: 17, body: { stringValue: text } }] }] },
    ],
  })

const object = (body: unknown): object => z.looseObject({}).parse(body)

/** How each protocol says no. */
const FACES = [
  {
    name: 'Sentry',
    path: '/api/1/envelope/',
    headers: SENTRY_AUTH,
    no: ({ body, headers }: Answer) => {
      expect(Object.keys(object(body))).toEqual(['detail', 'causes'])
      expect(headers.get('x-sentry-error')).not.toBeNull()
    },
  },
  {
    name: 'OTLP',
    path: '/v1/logs',
    headers: { ...OTLP_KEY, ...JSON_TYPE },
    no: ({ body }: Answer) => expect(Object.keys(object(body))).toEqual(['code', 'message']),
  },
] as const

describe.each(FACES)('$name', ({ path, headers, no }) => {
  test.each(ENCODINGS)('stops a bomb in %s, and takes what follows', async (encoding) => {
    const all = { ...headers, 'Content-Encoding': encoding }
    const refused = await send(path, packed(encoding, Buffer.alloc(64 * MIB)), all)
    expect(refused.status).toBe(413)
    no(refused)
    const event = `{}\n{"type":"event"}\n{"message":"${encoding}"}`
    const taken = await send(
      path,
      packed(encoding, path === '/v1/logs' ? log(encoding) : event),
      all,
    )
    expect(taken.status).toBe(200)
    expect(await messages()).toContain(encoding)
  })

  test('refuses what it cannot read in its own words, browsers of any origin may read them', async () => {
    const refused = await send(path, 'nonsense', headers)
    expect(refused.status).toBe(400)
    no(refused)
    expect(refused.headers.get('access-control-allow-origin')).toBe('*')
  })

  test('lets a browser of another origin send its headers', async () => {
    const preflight = await site.call(path, {
      method: 'OPTIONS',
      headers: { Origin: 'https://shop.example', 'Access-Control-Request-Method': 'POST' },
    })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('access-control-allow-origin')).toBe('*')
    const allowed = (preflight.headers.get('access-control-allow-headers') ?? '').toLowerCase()
    const names = allowed.split(',').map((name) => name.trim())
    for (const name of [
      'x-sentry-auth',
      'sentry-trace',
      'baggage',
      'content-encoding',
      'x-api-key',
    ]) {
      expect(names).toContain(name)
    }
  })
})

describe('keys', () => {
  test('none, and an unknown one, are 403 to Sentry’s clients and 401 to exporters', async () => {
    expect((await send('/api/1/envelope/', '{}')).status).toBe(403)
    expect((await send('/api/1/envelope/?sentry_key=ei_nobody', '{}')).status).toBe(403)
    expect((await send('/v1/logs', log('x'), JSON_TYPE)).status).toBe(401)
    const wrong = await send('/v1/logs', log('x'), { ...JSON_TYPE, 'X-API-Key': 'ei_nobody' })
    expect(wrong.status).toBe(401)
    expect(wrong.body).toMatchObject({ code: 16 })
  })

  test('two that differ are refused, wherever they stand', async () => {
    const other =
      '{"dsn":"https://other@errors.example/1"}\n{"type":"event"}\n{"message":"two keys"}'
    for (const answer of [
      await send(`/api/1/envelope/?sentry_key=other`, '{}', SENTRY_AUTH),
      await send('/api/1/envelope/', other, SENTRY_AUTH),
      await send('/v1/logs', log('two keys'), {
        ...JSON_TYPE,
        ...OTLP_KEY,
        Authorization: 'Bearer other',
      }),
    ]) {
      expect(answer.status).toBe(403)
    }
    expect(await messages()).not.toContain('two keys')
  })
})

describe('Sentry’s other faces', () => {
  test('store takes one event', async () => {
    const answer = await send(`/api/1/store/?sentry_key=${KEY}`, '{"message":"stored alone"}')
    expect(answer.status).toBe(200)
    expect(answer.text).toMatch(/^\{"id":"[0-9a-f]{32}"\}$/)
    expect(await messages()).toContain('stored alone')
  })

  test('security takes the policy reports of browsers, in the older and the newer form', async () => {
    const older = {
      'csp-report': {
        'document-uri': 'https://shop.example/cart',
        'effective-directive': 'img-src',
        'blocked-uri': 'https://ads.example/a.png',
      },
    }
    const newer = [
      {
        type: 'csp-violation',
        url: 'https://shop.example/pay',
        body: { effectiveDirective: 'script-src-elem', blockedURL: 'inline' },
      },
      { type: 'deprecation', body: {} },
    ]
    const path = `/api/1/security/?sentry_key=${KEY}`
    const first = await send(path, JSON.stringify(older), {
      'Content-Type': 'application/csp-report',
    })
    const second = await send(path, JSON.stringify(newer), {
      'Content-Type': 'application/reports+json',
    })
    expect([first.status, second.status]).toEqual([200, 200])
    const all = await messages()
    expect(all).toContain('Blocked https://ads.example/a.png by img-src')
    expect(all).toContain('Blocked inline by script-src-elem')
  })

  test('attachments and sessions are counted, and cost the event beside them nothing', async () => {
    const labels = { protocol: 'sentry', category: 'attachment', reason: 'unsupported' }
    const before = await site.metric('error_ingestor_discarded_total', labels)
    const body = [
      '{}',
      '{"type":"attachment","length":5,"filename":"a.bin"}',
      'a\nb\nc',
      '{"type":"event"}',
      '{"message":"beside an attachment"}',
      '{"type":"session"}',
      '{}',
    ].join('\n')
    expect((await send('/api/1/envelope/', body, SENTRY_AUTH)).status).toBe(200)
    expect(await messages()).toContain('beside an attachment')
    expect(await site.metric('error_ingestor_discarded_total', labels)).toBe(before + 1)
  })
})

test('metrics of OpenTelemetry are rejected as a partial success, in both encodings', async () => {
  const gauge = { dataPoints: [{ asInt: '1' }] }
  const body = { resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'a', gauge }] }] }] }
  const text = await send('/v1/metrics', JSON.stringify(body), { ...OTLP_KEY, ...JSON_TYPE })
  expect(text.status).toBe(200)
  expect(text.body).toMatchObject({ partialSuccess: { rejectedDataPoints: '1' } })
  // resource_metrics { scope_metrics { metrics { gauge { data_points {} } } } }
  const bytes = new Uint8Array([0x0a, 8, 0x12, 6, 0x12, 4, 0x2a, 2, 0x0a, 0])
  const binary = await send('/v1/metrics', bytes, { ...OTLP_KEY, ...PROTOBUF_TYPE })
  expect(binary.status).toBe(200)
  expect(binary.headers.get('content-type')).toBe('application/x-protobuf')
  // partial_success { rejected_data_points: 1, error_message: … }
  expect([...new TextEncoder().encode(binary.text)].slice(2, 4)).toEqual([0x08, 1])
})

test(
  'a bomb in any encoding takes less than twice the body limit of memory',
  { timeout: 60_000 },
  async () => {
    const [limit, PORT] = [16 * MIB, String(20_000 + Math.floor(Math.random() * 20_000))]
    const own = await settings()
    const env = { ...own, PORT, INTAKE_BODY_BYTES_MAX: String(limit) }
    const server = await startProgram('dist/main.js', env)
    try {
      const url = `http://127.0.0.1:${PORT}`
      await ready(`${url}/health/ready`, server)
      const post = async (encoding: string, bytes: number) => {
        const headers = { ...SENTRY_AUTH, 'Content-Encoding': encoding }
        const body = packed(encoding, Buffer.alloc(bytes))
        return (await fetch(`${url}/api/1/envelope/`, { method: 'POST', headers, body })).status
      }
      for (const encoding of ENCODINGS) {
        // What the way to a refusal needs once is there before it is measured.
        expect(await post(encoding, MIB)).toBe(400)
        const before = memoryMb(server.pid).now
        // The highest that the kernel remembers begins anew.
        writeFileSync(`/proc/${server.pid}/clear_refs`, '5')
        expect(await post(encoding, 128 * MIB)).toBe(413)
        expect(memoryMb(server.pid).peak - before).toBeLessThan((2 * limit) / MIB)
      }
    } finally {
      await stopProgram(server.process)
      await rm(own['DATA_DIR'] ?? '', { recursive: true, force: true })
    }
  },
)
