import { describe, expect, test } from 'vitest'
import { LIMITS } from '../../../src/occurrence.ts'
import { Refusal } from '../../../src/refusal.ts'
import type { Decoded } from '../../../src/protocols/protocol.ts'
import { sentry } from '../../../src/protocols/sentry/index.ts'
import { post } from '../../fixtures/replay.ts'

const ID = '0123456789abcdef0123456789abcdef'
const PATH = '/api/1/envelope/'
const event = (message: string) => JSON.stringify({ message, event_id: crypto.randomUUID() })
const item = (type: string, payload: string, length: number | undefined = bytes(payload)) =>
  `${JSON.stringify({ type, length })}\n${payload}`
const envelope = (...items: readonly string[]) => ['{}', ...items].join('\n')

function bytes(text: string): number {
  return new TextEncoder().encode(text).length
}

function decode(body: string | Uint8Array, path = PATH): Decoded {
  return sentry.decode(post(path, body))
}

function messages(decoded: Decoded): readonly string[] {
  return decoded.occurrences.map(({ message }) => message)
}

function refusalOf(work: () => unknown): Refusal {
  try {
    work()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('It was not refused.')
}

describe('an envelope', () => {
  test('is split by lengths in bytes, by newlines without one, and may end with a newline', () => {
    const body = `${envelope(item('event', event('größer')), '{"type":"event"}', event('second'), item('event', event('third')))}\n`
    expect(messages(decode(body))).toEqual(['größer', 'second', 'third'])
  })

  test('may hold newlines within a payload of known length', () => {
    const payload = JSON.stringify({ message: 'pretty' }, null, 2)
    expect(
      messages(decode(envelope(item('event', payload), item('event', event('next'))))),
    ).toEqual(['pretty', 'next'])
  })

  test('of nothing but a header is accepted and empty', () => {
    expect(decode('{}')).toMatchObject({ occurrences: [], refused: [] })
  })

  test.each(['', 'hello', '[]', '{"dsn":', '\n{}', 'null'])(
    'that begins with %j is refused',
    (body) => {
      expect(refusalOf(() => decode(body)).code).toBe('malformed')
    },
  )

  test('keeps the items around one whose payload is no JSON, and refuses that one', () => {
    const decoded = decode(
      envelope(item('event', event('a')), item('event', '{nonsense'), item('event', event('b'))),
    )
    expect(messages(decoded)).toEqual(['a', 'b'])
    expect(decoded.refused).toMatchObject([{ index: 1, refusal: { code: 'malformed' } }])
  })

  test.each([
    ['too long', 1],
    ['too short', -1],
    ['far too long', 1e9],
  ])('whose item has a length that is %s keeps the neighbours', (_, error) => {
    const payload = event('b')
    const decoded = decode(
      envelope(
        item('event', event('a')),
        item('event', payload, payload.length + error),
        item('event', event('c')),
      ),
    )
    expect(messages(decoded)).toEqual(['a', 'c'])
    expect(decoded.refused).toHaveLength(1)
  })

  test.each(['-1', '1.5', '"x"', '{}'])(
    'whose item has the length %s keeps the neighbours',
    (length) => {
      const decoded = decode(
        envelope(`{"type":"event","length":${length}}\n{}`, item('event', event('c'))),
      )
      expect(messages(decoded)).toEqual(['c'])
      expect(decoded.refused).toHaveLength(1)
    },
  )

  test('whose item header is broken goes on at the next header, not at a payload that has a type', () => {
    const decoded = decode(
      envelope(
        '{"type":',
        '{"type":"transaction","event_id":"x","spans":[]}',
        item('event', event('c')),
      ),
    )
    expect(messages(decoded)).toEqual(['c'])
    expect(decoded.refused).toHaveLength(1)
  })

  test('that was cut off keeps what is whole', () => {
    const whole = envelope(item('event', event('a')), item('event', event('b')))
    const decoded = decode(whole.slice(0, -5))
    expect(messages(decoded)).toEqual(['a'])
    expect(decoded.refused).toHaveLength(1)
  })

  test('counts what it does not keep by kind, and never fails for a kind nobody knows', () => {
    const decoded = decode(
      envelope(
        item('transaction', '{}'),
        item('transaction', '{}'),
        item('session', '{}'),
        item('attachment', '\u0000\u0001\n\n'),
        item('replay_recording', 'x'),
        item('__proto__', 'x'),
        item('constructor', 'x'),
        item('event', event('kept')),
      ),
    )
    expect(messages(decoded)).toEqual(['kept'])
    expect(decoded.refused).toEqual([])
    expect(decoded.discarded).toEqual([
      { by: 'server', category: 'transaction', reason: 'unsupported', count: 2 },
      { by: 'server', category: 'session', reason: 'unsupported', count: 1 },
      { by: 'server', category: 'attachment', reason: 'unsupported', count: 1 },
      { by: 'server', category: 'replay', reason: 'unsupported', count: 1 },
      { by: 'server', category: 'other', reason: 'unsupported', count: 2 },
    ])
  })

  test('with bytes that are no UTF-8 loses those characters only', () => {
    const payload = new Uint8Array([
      ...new TextEncoder().encode('{"message":"a'),
      0xff,
      0xc3,
      ...new TextEncoder().encode('b"}'),
    ])
    const head = new TextEncoder().encode(
      `{}\n{"type":"event","length":${String(payload.length)}}\n`,
    )
    expect(messages(decode(new Uint8Array([...head, ...payload])))).toEqual(['a\ufffd\ufffdb'])
  })

  test('takes at most 1,000 items and says so', () => {
    const body = (count: number) =>
      envelope(...Array.from({ length: count }, () => '{"type":"session","length":0}\n'))
    expect(decode(body(1_000)).refused).toEqual([])
    expect(decode(body(1_001)).refused).toHaveLength(1)
  })

  test('keeps as many events as a request may carry and refuses the rest by name', () => {
    const body = envelope(
      item('event', event('a')),
      item('event', event('b')),
      item('event', event('c')),
    )
    const decoded = sentry.decode(post(PATH, body, {}, { eventsMax: 2 }))
    expect(messages(decoded)).toEqual(['a', 'b'])
    expect(decoded.refused).toMatchObject([{ index: 2, refusal: { code: 'too_large' } }])
  })

  test('gives its id to its event, in our form, with or without dashes, over the id within', () => {
    const dashed = '01234567-89ab-cdef-0123-456789abcdef'
    for (const id of [ID, dashed, ID.toUpperCase()]) {
      const decoded = decode(`${JSON.stringify({ event_id: id })}\n${item('event', event('a'))}`)
      expect(decoded.occurrences[0]?.id).toBe(dashed)
      expect(decoded.receipt).toBe(ID)
    }
  })

  test('whose event has no usable id gets one of ours, each time another', () => {
    const ids = [
      '{}',
      '{"event_id":"0"}',
      `{"event_id":"${'0'.repeat(32)}"}`,
      '{"event_id":7}',
    ].map((payload) => decode(envelope(item('event', payload))).occurrences[0]?.id)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    expect(new Set(ids).size).toBe(4)
  })

  test('hands on what a client says it lost, in words that we know', () => {
    const report = JSON.stringify({
      timestamp: 1,
      discarded_events: [
        { reason: 'before_send', category: 'error', quantity: 3 },
        { reason: 'before_send', category: 'error', quantity: 4 },
        { reason: 'my own', category: 'my kind', quantity: 1 },
        { reason: 'sample_rate', category: 'error', quantity: -5 },
        { reason: 'sample_rate', category: 'error', quantity: 'x' },
        null,
      ],
    })
    expect(decode(envelope(item('client_report', report))).discarded).toEqual([
      { by: 'client', category: 'error', reason: 'before_send', count: 7 },
      { by: 'client', category: 'other', reason: 'other', count: 1 },
    ])
  })

  test('with equal log records keeps each, and knows them again', () => {
    const record = { timestamp: 1795447144.5, trace_id: ID, level: 'error', body: 'down' }
    const body = envelope(
      item(
        'log',
        JSON.stringify({ items: [record, record, { ...record, level: 'fatal', body: 'gone' }] }),
      ),
    )
    const ids = decode(body).occurrences.map(({ id }) => id)
    expect(new Set(ids).size).toBe(3)
    expect(decode(body).occurrences.map(({ id }) => id)).toEqual(ids)
  })

  test('with a user report tells the error it is about, under an id of its own', () => {
    const report = JSON.stringify({
      event_id: ID,
      name: 'Jo',
      email: 'jo@example.com',
      comments: 'It broke.',
    })
    const [first] = decode(envelope(item('user_report', report))).occurrences
    expect(first).toMatchObject({ code: 'feedback', message: 'It broke.', level: 'info' })
    expect(first?.tags).toEqual({ 'feedback.event': '01234567-89ab-cdef-0123-456789abcdef' })
    expect(first?.id).not.toBe('01234567-89ab-cdef-0123-456789abcdef')
    expect(decode(envelope(item('user_report', report))).occurrences[0]?.id).toBe(first?.id)
  })
})

describe('the key', () => {
  const of = (path: string, headers: Record<string, string> = {}) =>
    sentry.credential(post(path, '', headers).request)

  test('is read from header, query and authorization, in any order and spacing', () => {
    expect(of(PATH, { 'x-sentry-auth': 'Sentry sentry_key=k1,sentry_version=7' })).toBe('k1')
    expect(
      of(PATH, { 'x-sentry-auth': 'sentry sentry_version=7, sentry_client=a/1, sentry_key=k1' }),
    ).toBe('k1')
    expect(of(PATH, { authorization: 'Sentry sentry_key=k1' })).toBe('k1')
    expect(of(`${PATH}?sentry_key=k1&sentry_version=7`)).toBe('k1')
    expect(of(`${PATH}?sentry_key=k1`, { 'x-sentry-auth': 'Sentry sentry_key=k1' })).toBe('k1')
  })

  test('is absent where none is', () => {
    expect(of(PATH)).toBeUndefined()
    expect(
      of(`${PATH}?sentry_key=`, { authorization: 'Bearer k1', 'x-sentry-auth': 'Sentry a=b' }),
    ).toBeUndefined()
  })

  test('is refused where two differ: header and query, or either and the DSN of the envelope', () => {
    const header = { 'x-sentry-auth': 'Sentry sentry_key=k1' }
    expect(refusalOf(() => of(`${PATH}?sentry_key=k2`, header)).code).toBe('forbidden')
    const body = '{"dsn":"https://k2@errors.example/1"}'
    expect(refusalOf(() => sentry.decode(post(PATH, body, header))).code).toBe('forbidden')
    expect(sentry.decode(post(PATH, body.replace('k2', 'k1'), header)).refused).toEqual([])
  })

  test('stands in the DSN of a tunnelled envelope, with a secret and a nested path too', () => {
    const inBody = (text: string) => sentry.credentialInBody?.(new TextEncoder().encode(text))
    expect(inBody('{"dsn":"https://k1@errors.example/1"}\n{}')).toBe('k1')
    expect(inBody('{"dsn":"http://k1:secret@errors.example:8080/a/b/1"}')).toBe('k1')
    for (const text of [
      '',
      '{}',
      'x',
      '{"dsn":7}',
      '{"dsn":"no url"}',
      '{"dsn":"https://errors.example/1"}',
    ]) {
      expect(inBody(text)).toBeUndefined()
    }
  })

  test('of another project than the path or the DSN names is refused', () => {
    expect(refusalOf(() => decode('{}', '/api/2/envelope/')).code).toBe('forbidden')
    expect(refusalOf(() => decode('{"dsn":"https://k1@errors.example/2"}', '/tunnel')).code).toBe(
      'forbidden',
    )
    expect(decode('{"dsn":"https://k1@errors.example/1"}', '/tunnel').refused).toEqual([])
    expect(decode('{}', '/api/1/envelope').refused).toEqual([])
  })
})

describe('answers', () => {
  test('say no as Sentry does', async () => {
    const answer = sentry.refused(new Refusal('malformed', 'It is\nno envelope, größer.'), 400)
    if (!(answer instanceof Response)) throw new Error('no response')
    expect(answer.headers.get('x-sentry-error')).toBe('It is?no envelope, gr??er.')
    expect(await answer.json()).toEqual({ detail: 'It is\nno envelope, größer.', causes: [] })
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
    expect(answer.headers.get('x-sentry-rate-limits')).toBeNull()
  })

  test('to who has no key are 403: Sentry knows no 401', () => {
    const refusal = new Refusal('unauthenticated', 'No key.')
    expect(sentry.refused(refusal, 401).status).toBe(403)
    expect(sentry.refused(new Refusal('too_large', 'Too large.'), 413).status).toBe(413)
  })

  test('over the limit name the categories that must wait, and leave the others alone', () => {
    const refusal = new Refusal('rate_limited', 'Too many.', { retryAfterSeconds: 7 })
    const answer = sentry.refused(refusal, 429)
    if (!(answer instanceof Response)) throw new Error('no response')
    expect(answer.headers.get('retry-after')).toBe('7')
    expect(answer.headers.get('x-sentry-rate-limits')).toMatch(
      /^7:[a-z_;]*error[a-z_;]*:key:rate_limited$/,
    )
    expect(answer.headers.get('x-sentry-rate-limits')).not.toContain('transaction')
    expect(answer.headers.get('access-control-expose-headers')).toContain('x-sentry-rate-limits')
  })
})

describe('oversized parts', () => {
  const store = (content: object) => {
    const [occurrence] = decode(JSON.stringify(content), '/api/1/store/').occurrences
    if (occurrence === undefined) throw new Error('no occurrence')
    return occurrence
  }

  test('10,000 frames become 250, both ends kept, and the text says how many are missing', () => {
    const frames = Array.from({ length: 10_000 }, (_, at) => ({
      function: `f${String(at)}`,
      filename: 'a.js',
      in_app: true,
    }))
    const occurrence = store({
      platform: 'node',
      exception: { values: [{ type: 'E', value: 'v', stacktrace: { frames } }] },
    })
    expect(occurrence.parsedStack?.frames).toHaveLength(LIMITS.framesMax)
    expect(occurrence.parsedStack?.frames[0]?.functionName).toBe('f9999')
    expect(occurrence.parsedStack?.frames.at(-1)?.functionName).toBe('f0')
    expect(occurrence.stackTrace).toContain('... 9750 more calls ...')
    expect(occurrence.marks).toContain('parsedStack:cut')
  })

  test('1 MB tags, extra, messages, breadcrumbs and fingerprints are cut and marked', () => {
    const big = 'ü'.repeat(500_000)
    const occurrence = store({
      message: big,
      tags: Object.fromEntries(
        Array.from({ length: 101 }, (_, at) => [`t${String(at)}`, at === 0 ? big : 'x']),
      ),
      extra: { big, after: 'kept' },
      breadcrumbs: Array.from({ length: 101 }, (_, at) => ({
        message: at === 100 ? big : String(at),
      })),
      fingerprint: [big],
      user: { id: big },
    })
    const size = (value: unknown) => bytes(JSON.stringify(value))
    expect(bytes(occurrence.message)).toBeLessThan(LIMITS.messageBytesMax + 60)
    expect(Object.keys(occurrence.tags)).toHaveLength(LIMITS.tagsMax)
    expect(bytes(occurrence.tags['t0'] ?? '')).toBeLessThan(LIMITS.tagValueBytesMax + 60)
    expect(size(occurrence.metadata)).toBeLessThanOrEqual(LIMITS.metadataBytesMax)
    expect(occurrence.metadata['extra']).toMatchObject({ after: 'kept' })
    expect(occurrence.breadcrumbs).toHaveLength(LIMITS.breadcrumbsMax)
    expect(size(occurrence.breadcrumbs)).toBeLessThanOrEqual(LIMITS.breadcrumbsBytesMax)
    expect(bytes(occurrence.userId ?? '')).toBeLessThan(LIMITS.labelBytesMax + 60)
    expect([...occurrence.marks].sort()).toEqual([
      'breadcrumbs:cut',
      'fingerprint:cut',
      'message:cut',
      'metadata:cut',
      'tags:cut',
      'userId:cut',
    ])
  })

  test('nesting beyond any stack is cut, not crashed on', () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
    const [occurrence] = decode(
      `{"message":"m","extra":{"deep":${deep}},"breadcrumbs":[{"data":${deep}}],"tags":${deep},"user":{"id":${deep}}}`,
      '/api/1/store',
    ).occurrences
    expect(occurrence?.marks).toContain('metadata:cut')
    expect(JSON.stringify(occurrence).length).toBeLessThan(5_000)
  })

  test('names that mean something to JavaScript are ordinary names', () => {
    const [occurrence] = decode(
      '{"message":"m","tags":{"__proto__":"x"},"extra":{"__proto__":{"polluted":true}}}',
      '/api/1/store',
    ).occurrences
    expect(Object.entries(occurrence?.tags ?? {})).toEqual([['__proto__', 'x']])
    expect(JSON.stringify(occurrence?.metadata)).toBe('{"extra":{"__proto__":{"polluted":true}}}')
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })
})
