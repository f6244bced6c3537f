import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Frame, Json, JsonObject } from '../../src/occurrence.ts'
import { scrub } from '../../src/pipeline/scrub.ts'
import { anOccurrence } from '../support/occurrence.ts'

const run = scrub()
const textAfter = (message: string): string => run(anOccurrence({ message })).message

// Each text, and what must not be in it afterwards. Put together here from parts where a scanner of
// repositories would take the example for a leaked key.
const GO: readonly (readonly [text: string, secret: string])[] = [
  ['password=hunter2', 'hunter2'],
  ['failed: password=correcthorse for bob', 'correcthorse'],
  ['PASSWORD=hunter2', 'hunter2'],
  ['user_password=hunter2', 'hunter2'],
  ['userPassword=hunter2', 'hunter2'],
  ['password: hunter2', 'hunter2'],
  ['password = hunter2', 'hunter2'],
  ["password = 'swordfish'", 'swordfish'],
  ['const password = "swordfish"', 'swordfish'],
  ['passwd=abc', 'abc'],
  ['MYSQL_PWD=s3cr3t', 's3cr3t'],
  ['mysql_pwd: s3cr3t', 's3cr3t'],
  ['{"password":"hunter2"}', 'hunter2'],
  ['{"password": "with \\"quotes\\" inside"}', 'inside'],
  ['{\\"password\\":\\"hunter2\\"}', 'hunter2'],
  ['"{\\\\\\"password\\\\\\":\\\\\\"hunter2\\\\\\"}"', 'hunter2'],
  ["{'password': 'hunter2'}", 'hunter2'],
  ['{"pin": 1, "otp":482913}', '482913'],
  ['{"authToken":"abc-def"}', 'abc-def'],
  ['{"auth_token":"abc-def"}', 'abc-def'],
  ['{"AUTH-TOKEN":"abc-def"}', 'abc-def'],
  ['{"passwords":["one","two"]}', 'two'],
  ['{"password":"cut off in the midd', 'cut off'],
  ['"password" => "hunter2"', 'hunter2'],
  [":password=>'hunter2'", 'hunter2'],
  ["config['password'] = 'hunter2'", 'hunter2'],
  ['user[password]=hunter2&user[name]=bob', 'hunter2'],
  ['token=abc', 'abc'],
  ['api_key=abc', 'abc'],
  ['apikey=abc', 'abc'],
  ['apiKey: a1b2c3d4', 'a1b2c3d4'],
  ['API key: a1b2c3d4', 'a1b2c3d4'],
  ['session id: 8f3a9c', '8f3a9c'],
  ['session_id=8f3a9c', '8f3a9c'],
  ['JSESSIONID=8f3a9c', '8f3a9c'],
  ['connect.sid=s%3A8f3a9c', '8f3a9c'],
  ['client_secret=xyz', 'xyz'],
  ['private_key="xyz"', 'xyz'],
  ['access_key=xyz', 'xyz'],
  ['Server=db;User Id=sa;Password=Pass!word;Timeout=3', 'Pass!word'],
  ['GET /x?access_token=abcdef&page=2', 'abcdef'],
  ['https://a.example/cb?id_token=abcdef#x', 'abcdef'],
  ['https://bucket.example/o?X-Amz-Signature=abcdef', 'abcdef'],
  ['https://user:pass@host/path', 'pass'],
  ['postgres://app:p4ss@db:5432/app', 'p4ss'],
  ['redis://:p4ss@cache:6379', 'p4ss'],
  ['mongodb+srv://u:p%40ss@c.example/db', 'p%40ss'],
  ['https://0123456789abcdef01234567@errors.example/1', '0123456789abcdef01234567'],
  ['Authorization: Bearer abcdef', 'abcdef'],
  ['authorization: Basic dXNlcjpwYXNz', 'dXNlcjpwYXNz'],
  ["curl -H 'Authorization: Token abcdef' x", 'abcdef'],
  ['Proxy-Authorization: Digest username="bob"', 'username'],
  ['"Authorization":"Bearer abc def"', 'abc'],
  ['Cookie: sid=abc; theme=dark', 'abc'],
  ['Set-Cookie: id=abc; Path=/; HttpOnly', 'abc'],
  ['X-Api-Key: k3y-value', 'k3y-value'],
  ['sent Bearer abc.def.ghi to host', 'abc.def'],
  ['bearer 8d9f7a6b5c4d', '8d9f7a6b5c4d'],
  ['Bearer AbCdEfGhIj', 'AbCdEfGhIj'],
  ['Basic YWxhZGRpbjpvcGVuc2VzYW1l', 'YWxhZGRp'],
  ['Basic dXNlcjpwYXNz', 'dXNlcjpw'],
  ['card 4111 1111 1111 1111 12/26', '1111 1111'],
  ['card 4111-1111-1111-1111', '1111-1111'],
  ['card 4111111111111111', '4111111111111111'],
  ['5555555555554444', '5555555555554444'],
  ['amex 3782 822463 10005', '822463'],
  ['378282246310005', '378282246310005'],
  ['6011111111111117', '6011111111111117'],
  ['diners 30569309025904', '30569309025904'],
  ['jcb 3530111333300000', '3530111333300000'],
  ['old visa 4222222222222', '4222222222222'],
  ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl', 'c2lnbmF0dXJl'],
  ['at eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0, cut', 'eyJzdWIiOiIxIn0'],
  ['key AKIA' + 'IOSFODNN7EXAMPLE used', 'IOSFODNN7EXAMPLE'],
  ['ASIA' + 'IOSFODNN7EXAMPLE', 'IOSFODNN7EXAMPLE'],
  ['ghp_' + '0123456789abcdefghijABCDEFGHIJ012345', '0123456789abcdef'],
  ['github_' + 'pat_0123456789abcdefghij_ABCDEFGHIJ', '0123456789abcdef'],
  ['xoxb-' + '123456789012-abcdefghijkl', '123456789012'],
  ['sk_live_' + '0123456789abcdefghij', '0123456789abcdef'],
  ['ei_live_0123456789abcdefghijABCDEFGHIJ012345', '0123456789abcdef'],
  ['ei_test_key_12345', '12345'],
  ['glpat-' + '0123456789abcdefghij', '0123456789abcdef'],
  ['AIza' + 'SyA0123456789abcdefghijklmnopqrstuv', '0123456789abcdef'],
  ['sk-proj-' + 'Ab0123456789abcdefghijklmnop', '0123456789abcdef'],
  ['npm_' + '0123456789abcdefghijABCDEFGHIJ012345', '0123456789abcdef'],
  ['-----BEGIN PRIVATE KEY-----\nMIIEvQIB\n-----END PRIVATE KEY-----', 'MIIEvQIB'],
  ['-----BEGIN RSA PRIVATE KEY-----\\nMIIEvQIB\\n-----END RSA PRIVATE KEY-----', 'MIIEvQIB'],
  ['-----BEGIN EC PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0', 'MIIEvQIB'],
]

const STAY: readonly string[] = [
  '123e4567-e89b-12d3-a456-426614174000',
  '41111111-1111-4111-8111-111111111111',
  '2024-01-15T10:30:00.000Z',
  '2024-01-15 10:30:00',
  'at 1700000000000 ms',
  '1700000000000000',
  '+49 4111 1111 1111 1111',
  '+1 (415) 555-2671',
  '0049 170 1234567',
  'order 4111111111111112',
  'order 1234567890123456',
  'order ORD4111111111111111',
  'ratio 0.4111111111111111',
  '4111111111111111.5',
  'tracking 9400110200881234567890',
  'isbn 978-3-16-148410-0',
  'da39a3ee5e6b4b0d3255bfef95601890afd80709',
  'commit 5555555',
  'v1.2.3-rc.4+build.5',
  'node v24.21.0',
  'version=1.2.3',
  'at fetchUser (app.js:10:5)',
  '    at Object.<anonymous> (/app/src/auth/token.ts:12:3)',
  'at auth (auth.js:12:345)',
  'at token (/app/token:12345:12)',
  'at refreshToken (https://a.example/static/main.4f2a1b3c.js?v=3:1:23456)',
  'com.example.auth.TokenFilter.doFilter(TokenFilter.java:88)',
  'File "/app/password.py", line 10, in reset_password',
  '/app/secrets/token.go:120 +0x1d',
  'core::auth::token::verify',
  'std::token::parse:12',
  'C:\\app\\token\\secret.cs',
  '/var/lib/secret/token',
  'author=bob',
  'author: bob99',
  'tokenizer=bert-base',
  'secretary=Jane42',
  'passwordless=yes1',
  'authored: x99999',
  'keyboard=qwerty1',
  'monkey=abc123',
  'cookieless: mode42',
  'Unexpected token < in JSON at position 0',
  'Unexpected token = in JSON at position 0',
  'Unexpected token: }',
  "Unexpected token: 'else99'",
  'Invalid token: expected4 more',
  'password: must be at least 8 characters',
  'password is required',
  'token: expired',
  'The token has expired',
  'auth: user42 was not found',
  'token=null',
  'token=undefined',
  'password=',
  'password=""',
  'password=***',
  'password=[scrubbed]',
  'token=${token}',
  'const token = await getToken(user1)',
  'const token = tokens[0]',
  'if (token === undefined2) return',
  'token == other2',
  'token = getToken()',
  'token=getToken()',
  'token_count=512',
  'max_tokens=512',
  'maxTokens: 512000',
  'password_length=12',
  'tokenType=opaque',
  'auth_method=oauth2',
  'https://host.example:8080/path@2x.png',
  'https://cdn.example/react@18.2.0/index.js',
  'git+ssh://git@github.com/a/b.git',
  'mail bob@example.com',
  'Basic authentication failed',
  'Basic TypeScript support',
  'basic HTTP/1.1 auth',
  'the bearer of bad news',
  'bearer authentication',
  'task-manager sk-circle-fade-dot-one-two',
  'ghp_short',
  'eyJust words.and more',
  '-----BEGIN PUBLIC KEY-----\nMIIEvQIB\n-----END PUBLIC KEY-----',
  'expected -----BEGIN PRIVATE KEY----- at the start of the file',
  'PWD=/srv/app',
  'Füße ≥ 3 日本語 🙂 token',
  '\ud800 lone',
  '[1, 4, 12, 4242]',
  'pi=3.14159',
  'color: #ff00ff',
]

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
