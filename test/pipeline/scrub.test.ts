import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Frame, Json, JsonObject } from '../../src/occurrence.ts'
import { scrub } from '../../src/pipeline/scrub.ts'
import { anOccurrence } from '../support/occurrence.ts'
import { GO, STAY } from './corpus.ts'

const run = scrub()
const textAfter = (message: string): string => run(anOccurrence({ message })).message

describe('secrets in texts', () => {
  test.each(GO)('goes: %s', (text, secret) => {
    const after = textAfter(text)
    expect(after).not.toContain(secret)
    expect(after).toContain('[scrubbed]')
    expect(textAfter(after)).toBe(after)
  })

  test.each(STAY)('stays: %s', (text) => {
    const given = anOccurrence({ message: text })
    expect(run(given)).toBe(given)
  })

  test('the words around a secret stay', () => {
    expect(textAfter('GET https://u:p@h/x?token=abc&page=2 failed')).toBe(
      'GET https://[scrubbed]@h/x?token=[scrubbed]&page=2 failed',
    )
    expect(textAfter('{"user":"bob","password":"x","n":1}')).toBe(
      '{"user":"bob","password":"[scrubbed]","n":1}',
    )
    expect(textAfter('card 4111 1111 1111 1111 12/26 declined')).toBe(
      'card [scrubbed] 12/26 declined',
    )
  })
})

describe('secret names', () => {
  const valueUnder = (name: string, value: Json): Json | undefined =>
    run(anOccurrence({ metadata: { [name]: value } })).metadata[name]

  test.each(
    (
      'password passwd secret token api_key apikey apiKey auth authorization Authorization credentials ' +
      'cookie Cookie set-cookie Set-Cookie mysql_pwd MYSQL_PWD private_key privateKey session_id ' +
      'sessionId PHPSESSID authToken auth_token AUTH-TOKEN x-api-key X-CSRF-Token db.password ' +
      'newPassword2 clientSecret access_token refreshToken aws_secret_access_key userPass jwt cvv'
    ).split(' '),
  )('a value under %s goes, whatever it is', (name) => {
    for (const value of ['x', 12, ['x'], { x: 'y' }]) {
      expect(valueUnder(name, value)).toBe('[scrubbed]')
    }
  })

  test.each(
    (
      'author authors authored tokenizer secretary passwordless keyboard monkey key session ' +
      'tokenCount token_type passwordLength max_tokens cookieCount compass passenger pwned PWD ' +
      'oauth authority expires_in design'
    ).split(' '),
  )('a value under %s stays', (name) => {
    expect(valueUnder(name, 12)).toBe(12)
  })

  test('what says that there is no secret stays: null, true, false, the empty text', () => {
    for (const value of [null, true, false, '']) expect(valueUnder('password', value)).toBe(value)
  })

  test('extra names are secret besides the default ones', () => {
    const given = anOccurrence({ metadata: { salary: 1, other: 1, password: 'x' } })
    expect(scrub({ names: ['salary'] })(given).metadata).toEqual({
      salary: '[scrubbed]',
      other: 1,
      password: '[scrubbed]',
    })
    expect(run(given).metadata).toEqual({ salary: 1, other: 1, password: '[scrubbed]' })
  })
})

describe('all places of an occurrence', () => {
  const frame: Frame = {
    functionName: 'load',
    fileName: 'https://h/a.js?token=abc',
    lineNumber: 1,
    columnNumber: 2,
    inApp: true,
    raw: 'at load (https://h/a.js?token=abc)',
    contextLine: 'const password = "hunter2"',
  }

  test('every field with a secret is cleaned and marked once', () => {
    const given = anOccurrence({
      code: 'auth/token=abc',
      message: 'token=abc',
      stackTrace: 'Error: token=abc\n    at load (a.js:1:2)',
      parsedStack: { frames: [frame], raw: 'Error: token=abc', parser: 'browser' },
      metadata: {
        deep: [
          {
            request: {
              headers: [
                ['Authorization', 'abc'],
                ['accept', 'x'],
              ],
              password: 'abc',
            },
          },
        ],
        pair: { name: 'Cookie', value: 'abc' },
        card: 4111111111111111,
        json: '{"token":"abc"}',
      },
      tags: { token: 'abc', url: 'https://u:abc@h' },
      fingerprint: ['token=abc'],
      breadcrumbs: [{ data: { secret: 'abc' } }, 'token=abc'],
      marks: ['message:cut'],
    })
    const after = run(given)
    expect(JSON.stringify(after)).not.toMatch(/abc|hunter2|4111/)
    expect(after.marks).toEqual([
      'message:cut',
      ...['code', 'message', 'stackTrace', 'parsedStack', 'metadata', 'tags'].map(
        (f) => `${f}:scrubbed`,
      ),
      'fingerprint:scrubbed',
      'breadcrumbs:scrubbed',
    ])
    expect(after.metadata['deep']).toEqual([
      {
        request: {
          headers: [
            ['Authorization', '[scrubbed]'],
            ['accept', 'x'],
          ],
          password: '[scrubbed]',
        },
      },
    ])
    expect(after.stackTrace).toBe('Error: token=[scrubbed]\n    at load (a.js:1:2)')
    expect(run(after)).toBe(after)
  })

  test('only the fields with a secret are marked', () => {
    const after = run(anOccurrence({ tags: { password: 'x' }, message: 'fine' }))
    expect(after.marks).toEqual(['tags:scrubbed'])
  })

  test('a long clean stack that comes again is the same, and its neighbour with a secret is not', () => {
    const clean = `Error: x\n${'    at load (app.js:10:5)\n'.repeat(40)}`
    const dirty = `${clean}token=abc`
    for (let round = 0; round < 3; round++) {
      expect(run(anOccurrence({ stackTrace: clean })).stackTrace).toBe(clean)
      expect(run(anOccurrence({ stackTrace: dirty })).stackTrace).toBe(`${clean}token=[scrubbed]`)
    }
  })

  test('a name like __proto__ stays a plain name', () => {
    const metadata = Object.fromEntries<Json>([
      ['__proto__', { password: 'x' }],
      ['a', 1],
    ])
    const after = run(anOccurrence({ metadata })).metadata
    expect(JSON.stringify(after)).toBe('{"__proto__":{"password":"[scrubbed]"},"a":1}')
    expect(Object.getPrototypeOf(after)).toBe(Object.prototype)
  })

  test('what lies too deep to be looked at is replaced, and nothing overflows', () => {
    let deep: JsonObject = { token: 'abc' }
    for (let depth = 0; depth < 50_000; depth++) deep = { deep }
    const after = run(anOccurrence({ metadata: deep }))
    expect(JSON.stringify(after.metadata)).not.toContain('abc')
    let fine: JsonObject = { note: 'abc' }
    for (let depth = 0; depth < 16; depth++) fine = { deep: fine }
    const shallow = anOccurrence({ metadata: fine })
    expect(run(shallow)).toBe(shallow)
  })
})

// Pieces that rules are made of, in every order.
const piece = fc.oneof(
  fc.constantFrom(
    ...GO.map(([text]) => text),
    ...STAY,
    ...[
      'password',
      'token',
      'cookie',
      'authorization',
      'session',
      'key',
      'Bearer',
      'Basic',
      'basic',
    ],
    ...[
      '=',
      ':',
      ' ',
      '"',
      "'",
      '\\',
      '\\"',
      '[',
      ']',
      '{',
      '}',
      ',',
      ';',
      '&',
      '\n',
      '-',
      '.',
      '@',
      '/',
    ],
    ...[
      '://',
      '=>',
      '4111',
      '1111',
      '5',
      'eyJ',
      '_',
      'ghp_',
      '-----BEGIN PRIVATE KEY-----',
      '-----',
    ],
    ...['[scrubbed]', 'ei_', 'a', 'Z9', '(', ')', '*', '${', '%s', '[scrub'],
  ),
  fc.string({ maxLength: 8 }),
  fc.string({ unit: 'binary', maxLength: 8 }),
)
const anyText = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''))

const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small' },
    anyText,
    fc.integer({ max: 5_000_000_000_000_000 }),
    fc.constantFrom(true, null, 4111111111111111, 0.5),
    fc.array(tie('json'), { maxLength: 3 }),
    fc.dictionary(anyText, tie('json'), { maxKeys: 3 }),
  ),
}))

describe('properties', () => {
  test('scrubbing twice is scrubbing once', () => {
    fc.assert(
      fc.property(anyText, json, anyText, (message, value, tag) => {
        const metadata: JsonObject = { value, [tag]: message }
        const once = run(anOccurrence({ message, metadata, tags: { tag, [message]: tag } }))
        expect(run(once)).toEqual(once)
      }),
      { numRuns: 3000 },
    )
  })

  test('metadata stays JSON with the same names', () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, json), (metadata) => {
        const after = run(anOccurrence({ metadata })).metadata
        expect(JSON.parse(JSON.stringify(after))).toEqual(after)
        expect(Object.keys(after)).toEqual(Object.keys(metadata))
      }),
    )
  })

  test('a secret between any two texts that end its pair is never left', () => {
    fc.assert(
      fc.property(fc.lorem(), fc.stringMatching(/^[a-z0-9]{6,20}$/), fc.lorem(), (a, secret, b) => {
        fc.pre(
          !a.includes(secret) &&
            !b.includes(secret) &&
            !/^(?:null|undefined|false|scrubbed)$/.test(secret),
        )
        expect(textAfter(`${a} password=${secret} ${b}`)).toBe(`${a} password=[scrubbed] ${b}`)
        expect(textAfter(`${a} {"token":"${secret}"} ${b}`)).toBe(
          `${a} {"token":"[scrubbed]"} ${b}`,
        )
      }),
    )
  })
})

describe('time is linear in the length', () => {
  const seeds = [
    ...[
      'a',
      ' ',
      '1',
      ':',
      '=',
      '"',
      '\\',
      '\\"',
      '4111 ',
      '4111-',
      '1 ',
      'eyJ',
      'eyJa.',
      'eyJaaaaaaaa.',
      '-',
    ],
    ...[
      '-----BEGIN ',
      '-----BEGIN PRIVATE KEY-----',
      '-----BEGIN PRIVATE KEY-----\n',
      '-----BEGIN PRIVATE KEY-----aa ',
    ],
    ...[
      '://',
      '://a:',
      '://a@',
      'http://a:b',
      'token',
      'token:',
      'token=',
      'token= ',
      'token: ',
      'token:"',
      'token="',
    ],
    ...[
      'unexpected token: "',
      `unexpected token: "a unexpected token: 'b `,
      'cookie: ',
      'cookie: a1',
      'authorization:',
    ],
    ...[
      '"token":[',
      '"token":"\\',
      "token\\\\\\':\\\\'",
      'token=${',
      'token=(',
      'token=*',
      'auth=Bearer ',
      'Bearer ',
    ],
    ...[
      'bearer a',
      'basic aaaa',
      'basic ',
      'sk-',
      'sk-a',
      'ei_',
      'ghp_',
      'ghp_a',
      'AKIA',
      'SG',
      'xoxb-',
      'session id: ',
    ],
    ...[
      '_',
      'api key ',
      '[scrubbed]',
      'password=[scrubbed]',
      'key',
      'a key:',
      '\ud83d\ude42',
      'token=a ',
      'B',
      'Basic aaaaaa=',
    ],
    ...[
      '>',
      '<password>',
      '<password>a',
      '<token a>>',
      '%3D',
      'token%3D',
      '%22token%22%3A%22',
      "password '",
      "identified by '",
      '--password ',
      ',--password a',
      '-u a:',
      '-u ',
      '&sig=',
      'ya29.',
      ':AA',
      '123456789:AAa',
      '\\u0022token\\u0022:\\u0022',
      '\\u0022:',
      'https://hooks.slack.com/services/',
      'my password is ',
      'the password is: ',
      'is is is ',
      'AZDO',
      'JQQJ99',
      'abc8Q~',
      '1//0',
      'dapi',
      'hvs.',
    ],
  ]

  const cpuMs = (text: string): number => {
    let best = Infinity
    for (let round = 0; round < 2; round++) {
      const before = process.cpuUsage()
      textAfter(text)
      const { user, system } = process.cpuUsage(before)
      best = Math.min(best, (user + system) / 1000)
    }
    return best
  }

  test.each(seeds)('for a megabyte of %j', (seed) => {
    const of = (chars: number): string => seed.repeat(Math.ceil(chars / seed.length))
    const half = cpuMs(of(512 * 1024))
    const whole = cpuMs(of(1024 * 1024))
    // Twice the text may take thrice the time and some noise; a quadratic rule would take seconds.
    expect(whole).toBeLessThan(half * 3 + 60)
    expect(whole).toBeLessThan(1500)
  })
})
