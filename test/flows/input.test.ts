import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { aSite, anEvent, errorsOf, expectProblem, KEY, post, type Site } from './support.ts'

const COMPRESS = {
  gzip: gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
} as const
const ENCODINGS = ['gzip', 'deflate', 'br', 'zstd'] as const
const MIB = 1024 * 1024

let site: Site
beforeAll(async () => {
  site = await aSite({ INTAKE_TIMEOUT_MS: '1500', DELIVERY_AGE_MS_MAX: '20' })
})
afterAll(async () => {
  expect(await site.undocumented()).toEqual([])
  await site.close()
})
afterEach(async () => {
  // Nothing crashed, nothing was a bug, and an event that follows is stored.
  const event = anEvent()
  expect((await site.ingest([event])).body).toEqual({ success: true, accepted: 1 })
  const found = await site.call(`/dashboard/api/errors/${event.id}?appId=test-app`)
  expect(found.body).toMatchObject({ error: { id: event.id } })
  expect(await site.metric('error_ingestor_bugs_total')).toBe(0)
})

/** Sends bytes as the body of an ingest. */
const send = (body: string | Buffer, headers: Record<string, string> = {}) =>
  site.call('/api/v1/ingest', {
    method: 'POST',
    headers: { 'X-API-Key': KEY, 'Content-Type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  })

/** The event as it is answered. */
async function stored(event: { readonly id: string }): Promise<Readonly<Record<string, unknown>>> {
  const found = await site.call(
    `/dashboard/api/errors?appId=test-app&limit=1000&startTime=1970-01-01T00:00:00Z`,
  )
  return errorsOf(found).find(({ id }) => id === event.id) ?? {}
}

describe('a body that is no batch', () => {
  test.each([
    '',
    ' ',
    '{',
    'null',
    'true',
    '42',
    '"events"',
    '[]',
    '{}',
    '{"events": null}',
    '{"events": {}}',
    '{"events": "all"}',
    '{"events": []}',
    '{"events": [}',
    '{"events": [{]}',
    '{"events": [1e999]} trailing',
    "{'events': []}",
    '{"events": [NaN]}',
    '\uFEFF\uFEFF{"events": []}',
    '<events/>',
  ])('%j is a 400', async (body) => {
    expectProblem(await send(body), 400, 'malformed')
  })

  test('bytes that are no UTF-8 are a 400', async () => {
    for (const bad of [[0xff, 0xfe], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0x80], [0xf8, 0x88]]) {
      const body = Buffer.concat([
        Buffer.from('{"events": ["'),
        Buffer.from(bad),
        Buffer.from('"]}'),
      ])
      expectProblem(await send(body), 400, 'malformed', /UTF-8/)
    }
  })

  test('nesting without end is a 400, wherever it stands', async () => {
    const deep = '['.repeat(200_000) + ']'.repeat(200_000)
    expectProblem(await send(deep), 400, 'malformed')
    const open = '['.repeat(1_000_000)
    expectProblem(await send(open), 400, 'malformed')
    const objects = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
    for (const field of ['metadata', 'tags', 'parsedStack', 'message', 'unknown']) {
      const text = JSON.stringify({ events: [anEvent({ [field]: 0 })] }).replace(
        `"${field}":0`,
        `"${field}":${objects}`,
      )
      const answer = await send(text)
      // What is unknown is ignored, at any depth that can be read.
      if (field !== 'unknown' && field !== 'metadata') expect(answer.status).toBe(400)
      expect([200, 400]).toContain(answer.status)
    }
  })
})

describe('a field of the wrong type', () => {
  const values = [
    null,
    0,
    -1,
    1.5,
    true,
    '',
    'x',
    [],
    [[]],
    {},
    { a: 1 },
    '\u0000',
    '💥'.repeat(300),
  ]
  test.each(
    Object.keys(
      anEvent({
        level: '',
        environment: '',
        userId: '',
        metadata: {},
        tags: {},
        fingerprint: [],
        breadcrumbs: [],
        parsedStack: {},
      }),
    ),
  )('%s is refused or kept, never a crash, and costs no neighbour', async (field) => {
    const good = anEvent()
    const bad = values.map((value) => anEvent({ [field]: value }))
    // Another app is another matter: it refuses all.
    const strange = field === 'appId' ? bad.filter((one) => typeof one.appId !== 'string') : bad
    const answer = await site.ingest([...strange, good])
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({ success: true })
    expect(await stored(good)).toMatchObject({ code: good.code })
  })
})

describe('a body that is too large', () => {
  const filler = (bytes: number) =>
    JSON.stringify({ events: [anEvent({ stackTrace: 'x'.repeat(bytes) })] })

  test('at the limit is taken, a byte more is a 413, announced or not', async () => {
    const empty = filler(0).length
    const whole = filler(8 * MIB - empty)
    expect(Buffer.byteLength(whole)).toBe(8 * MIB)
    expect((await send(whole)).status).toBe(200)
    expectProblem(await send(`${whole} `), 413, 'too_large')
    expectProblem(await send(filler(10 * MIB)), 413, 'too_large')
    const stream = new Blob([filler(10 * MIB)]).stream()
    const chunked = {
      method: 'POST',
      headers: { 'X-API-Key': KEY },
      body: stream,
      duplex: 'half',
    } as const
    expectProblem(await site.call('/api/v1/ingest', chunked), 413, 'too_large')
  })

  test.each(ENCODINGS)(
    'in %s: at the limit taken, a byte more and a bomb refused',
    async (encoding) => {
      const headers = { 'Content-Encoding': encoding }
      const compress = COMPRESS[encoding]
      const whole = filler(8 * MIB - filler(0).length)
      expect((await send(compress(whole), headers)).status).toBe(200)
      expectProblem(await send(compress(`${whole} `), headers), 413, 'too_large')
      const bomb = compress(Buffer.alloc(128 * MIB))
      const before = process.memoryUsage().rss
      const startedMs = performance.now()
      const answers = await Promise.all(Array.from({ length: 4 }, () => send(bomb, headers)))
      for (const answer of answers) expectProblem(answer, 413, 'too_large')
      expect(performance.now() - startedMs).toBeLessThan(10_000)
      expect(process.memoryUsage().rss - before).toBeLessThan(150 * MIB)
    },
  )

  test.each(ENCODINGS)(
    'a body that is no %s, cut short, or packed twice is refused',
    async (encoding) => {
      const headers = { 'Content-Encoding': encoding }
      const packed = COMPRESS[encoding](JSON.stringify({ events: [anEvent()] }))
      expect((await send(packed, headers)).status).toBe(200)
      expectProblem(await send('{"events": []}', headers), 400, 'malformed')
      expectProblem(await send(packed.subarray(0, packed.length >> 1), headers), 400, 'malformed')
      expectProblem(await send(COMPRESS[encoding](packed), headers), 400, 'malformed')
      expectProblem(await send(Buffer.alloc(0), headers), 400, 'malformed')
      expectProblem(
        await send(packed, { 'Content-Encoding': `${encoding}, ${encoding}` }),
        415,
        'unsupported_encoding',
      )
    },
  )

  test('an encoding nobody has is a 415', async () => {
    for (const encoding of ['compress', 'lz4', 'aes128gcm', 'x'.repeat(5_000), '__proto__']) {
      expectProblem(await send('{}', { 'Content-Encoding': encoding }), 415, 'unsupported_encoding')
    }
    const event = anEvent()
    const answer = await send(JSON.stringify({ events: [event] }), {
      'Content-Encoding': 'identity',
    })
    expect(answer.status).toBe(200)
  })
})

describe('what names and texts may do', () => {
  test('__proto__, constructor and their like are data', async () => {
    const hostile = `{"__proto__": {"isAdmin": true}, "constructor": {"prototype": {"x": 1}}, "toString": "t", "hasOwnProperty": 1}`
    const names = `{"__proto__": "p", "constructor": "c", "toString": "t"}`
    const event = anEvent({ metadata: 0, tags: 0, extra: 0 })
    const text = JSON.stringify({ events: [event] })
      .replace('"metadata":0', `"metadata":${hostile}`)
      .replace('"tags":0', `"tags":${names}`)
      .replace('"extra":0', `"__proto__":{"appId":"other"}`)
    expect((await send(text)).body).toEqual({ success: true, accepted: 1 })
    const found = await site.call(`/dashboard/api/errors/${event.id}?appId=test-app`)
    expect(found.text).toContain('"__proto__":{"isAdmin":true}')
    expect(found.text).toContain('"constructor":{"prototype":{"x":1}}')
    expect(found.text).toContain('"__proto__":"p"')
    expect(Reflect.get({}, 'isAdmin')).toBeUndefined()
    const proto = `{"__proto__": {"events": [${JSON.stringify(anEvent())}]}}`
    expectProblem(await send(proto), 400, 'malformed')
  })

  test('SQL is a text, in every field and every parameter', async () => {
    const attacks = [
      "'; DROP TABLE occurrences; --",
      "' OR '1'='1",
      '1 UNION ALL SELECT * FROM system.users',
      "\\'; SELECT 1 --",
      '{appId: String}',
      '`; --',
      "\u0000' --",
      '%27%20OR%201=1',
      ')) FORMAT Null; --',
    ]
    for (const attack of attacks) {
      const event = anEvent({
        ...{ code: attack, message: attack, stackTrace: attack, appVersion: attack },
        ...{ platformVersion: attack, environment: attack, userId: attack },
        ...{ metadata: { [attack]: attack }, tags: { [attack]: attack }, fingerprint: [attack] },
      })
      expect((await site.ingest([event])).body).toEqual({ success: true, accepted: 1 })
      const given = encodeURIComponent(attack)
      for (const name of ['code', 'userId', 'appVersion', 'environment']) {
        const found = await site.call(`/dashboard/api/errors?appId=test-app&${name}=${given}`)
        expect({ name, attack, ids: errorsOf(found).map(({ id }) => id) }).toEqual({
          ...{ name, attack, ids: [event.id] },
        })
      }
      const q = await site.call(`/dashboard/api/errors?appId=test-app&q=${given}`)
      expect(errorsOf(q).map(({ id }) => id)).toContain(event.id)
      for (const name of [
        'startTime',
        'endTime',
        'limit',
        'offset',
        'cursor',
        'level',
        'platform',
        'granularity',
        'fill',
      ]) {
        const path = name === 'granularity' || name === 'fill' ? 'trends' : 'errors'
        const answer = await site.call(`/dashboard/api/${path}?appId=test-app&${name}=${given}`)
        expectProblem(answer, 400, 'malformed', new RegExp(name))
      }
      for (const path of ['errors', 'trends', 'codes']) {
        const other = await site.call(`/dashboard/api/${path}?appId=${given}`)
        expect(other.status).toBe(200)
        expect(other.text).not.toContain(event.id)
      }
      const issue = await site.call(`/dashboard/api/errors?appId=test-app&issue=${given}`)
      expect(errorsOf(issue)).toEqual([])
    }
  })

  test('dates from year 0 to 9999 are taken, dated by receipt, or refused', async () => {
    const YEARS = [
      '0000',
      '0001',
      '1582',
      '1900',
      '1969',
      '1970',
      '2000',
      '2038',
      '2106',
      '2262',
      '2299',
      '2300',
      '9999',
    ]
    for (const year of YEARS) {
      const event = anEvent({ timestamp: `${year}-06-15T12:00:00.000Z` })
      const answer = await site.ingest([event])
      if (Number(year) < 1970)
        expect(answer).toMatchObject({ status: 400, body: { success: false } })
      else expect(answer.body).toEqual({ success: true, accepted: 1 })
      for (const name of ['startTime', 'endTime']) {
        const path = `/dashboard/api/errors?appId=test-app&${name}=${event.timestamp}`
        expect([200, 400]).toContain((await site.call(path)).status)
      }
      const range = `startTime=${year}-01-01T00:00:00Z&endTime=${year}-12-31T23:59:59.999Z`
      for (const path of ['errors', 'trends', 'codes']) {
        expect((await site.call(`/dashboard/api/${path}?appId=test-app&${range}`)).status).toBe(200)
      }
    }
    for (const bad of [
      '2026-02-30T00:00:00Z',
      '2026-01-01',
      '2026-01-01T00:00:00',
      'now',
      '1e3',
      '+010000-01-01T00:00:00Z',
      '2026-01-01T24:00:00Z',
      '0',
    ]) {
      expect((await site.ingest([anEvent({ timestamp: bad })])).status).toBe(400)
    }
  })

  test('an id that stands twice in one batch is stored once', async () => {
    const [code, id] = [`twice/${randomUUID()}`, randomUUID()]
    const events = Array.from({ length: 100 }, (_, i) =>
      anEvent({ code, id: i % 2 === 0 ? id : id.toUpperCase(), message: String(i) }),
    )
    expect((await site.ingest(events)).body).toEqual({ success: true, accepted: 100 })
    const found = errorsOf(await site.call(`/dashboard/api/errors?appId=test-app&code=${code}`))
    expect(found).toMatchObject([{ id, message: '0' }])
  })
})

describe('text that goes in', () => {
  const TEXTS = [
    'Straße, naïve, Ελληνικά, кириллица, עברית, العربية, हिन्दी, 中文, 日本語, 한국어, ไทย',
    '👩‍👩‍👧‍👦 🏳️‍🌈 é e\u0301 \u200b\u200e\u202e \ufeff \u2028\u2029 \ufffd \uffff 𝕏',
    'NUL \u0000 bell \u0007 escape \u001b del \u007f tab \t cr \r lf \n crlf \r\n',
    '"quotes" \'single\' \\back\\slash\\ \\u0041 \\N {a: String} %s ${x} <b>&amp;</b>',
  ]

  test('comes out byte for byte the same, in every field', async () => {
    for (const text of TEXTS) {
      const event = anEvent({
        ...{ code: text.slice(0, 100), message: text, stackTrace: text, appVersion: text },
        ...{ platformVersion: text, environment: text, userId: text, fingerprint: [text, ''] },
        metadata: {
          [text]: [text, { [text]: null }],
          n: [0, -0.5, 1e-7, 1e21, 123456789012, true],
        },
        tags: { [text]: text, empty: '' },
        breadcrumbs: [text, { [text]: text }],
        parsedStack: {
          frames: [
            {
              ...{ functionName: text, fileName: text, lineNumber: 1, columnNumber: null },
              ...{ inApp: false, raw: text },
            },
          ],
          raw: text,
          parser: 'unknown',
        },
      })
      expect((await site.ingest([event])).body).toEqual({ success: true, accepted: 1 })
      const found = await site.call(`/dashboard/api/errors/${event.id}?appId=test-app`)
      expect(found.body).toMatchObject({ error: { ...event, marks: [] } })
      const listed = await site.call(
        `/dashboard/api/errors?appId=test-app&code=${encodeURIComponent(event.code)}`,
      )
      expect(errorsOf(listed)).toMatchObject([event])
    }
  })

  test('has U+FFFD for each half of a surrogate pair, and for nothing else', async () => {
    const event = anEvent({ message: 'M', metadata: { k: 'V' }, tags: { t: 'T' }, userId: 'U' })
    const text = JSON.stringify({ events: [event] })
      .replace('"M"', String.raw`"a\ud800b\udc00c\ud83d\ude00d\uD83Dx\\ud800"`)
      .replace('{"k":"V"}', String.raw`{"k\udfff":"\ude00\ud83d"}`)
      .replace('{"t":"T"}', String.raw`{"t":"\ud800"}`)
      .replace('"U"', String.raw`"\udc00u"`)
    expect((await send(text)).body).toEqual({ success: true, accepted: 1 })
    const found = await site.call(`/dashboard/api/errors/${event.id}?appId=test-app`)
    expect(found.body).toMatchObject({
      error: {
        message: String.raw`a�b�c😀d�x\ud800`,
        metadata: { 'k�': '��' },
        tags: { t: '�' },
        userId: '�u',
      },
    })
    expect(found.text).not.toMatch(/(?<!\\)\\ud[89a-f]/i)
  })
})

describe('a connection', () => {
  const head = (length: number, more = '') =>
    `POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\nContent-Length: ${length}\r\n${more}\r\n`

  test('whose sender is too slow is told 408 and closed', async () => {
    const startedMs = performance.now()
    for (const answer of await Promise.all([
      site.raw(head(1_000), '{"events": ['),
      site.raw('POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\n'),
      site.raw(head(1_000, 'Content-Encoding: gzip\r\n'), gzipSync('{"events": [').subarray(0, 8)),
    ])) {
      expect(answer).toMatch(/^HTTP\/1\.1 408 /)
      expect(answer).toMatch(/X-Error-Code: timeout/i)
    }
    expect(performance.now() - startedMs).toBeLessThan(6_000)
  })

  test('that its client drops in the middle loses nothing of others', async () => {
    const { hostname, port } = new URL(site.url)
    const body = JSON.stringify({ events: [anEvent()] })
    for (let i = 0; i < 50; i += 1) {
      const socket = connect(Number(port), hostname)
      await once(socket, 'connect')
      socket.write(head(body.length + 10) + body.slice(0, i % body.length))
      socket.resetAndDestroy()
    }
    const refused = () => site.metric('error_ingestor_events_total', { reason: 'timeout' })
    await vi.waitUntil(async () => (await refused()) > 0, { timeout: 10_000 })
  })

  test('that speaks no HTTP, or too much of it, gets a clear 4xx', async () => {
    for (const [text, status] of [
      ['\u0016\u0003\u0001 hello\r\n\r\n', 400],
      ['GET / HTTP/9.9\r\n\r\n', 400],
      ['GET /health/live HTTP/1.1\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
      [`GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
      ['POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n', 400],
      [
        'POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
        400,
      ],
      ['GET /health HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n', 400],
    ] as const) {
      expect(await site.raw(text)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    }
  })

  test('with two requests one after the other answers both in order', async () => {
    const body = JSON.stringify({ events: [anEvent()] })
    const live = 'GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    const answer = await site.raw(head(body.length), body, head(2), '{}', live)
    expect([...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual([
      ...['200', '400', '200'],
    ])
  })

  test('keeps no place of the many that went away', async () => {
    const big = post({ events: Array.from({ length: 500 }, () => anEvent()) })
    for (let i = 0; i < 20; i += 1) {
      const leave = AbortSignal.timeout(i * 3)
      await site.call('/api/v1/ingest', { ...big, signal: leave }).catch(() => undefined)
      await site
        .call('/dashboard/api/codes?appId=test-app', { signal: AbortSignal.timeout(i) })
        .catch(() => undefined)
    }
  })
})
