import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Frame, Grouping, Occurrence } from '../../src/occurrence.ts'
import { normaliseFile, normaliseFunction } from '../../src/pipeline/frames.ts'
import { group } from '../../src/pipeline/group.ts'
import { parameterise } from '../../src/pipeline/parameterise.ts'
import { createMemory } from '../../src/remember.ts'
import { anOccurrence } from '../support/occurrence.ts'
import { GOLDEN } from './groupStacks.ts'

function aFrame(given: Partial<Frame> = {}): Frame {
  return {
    functionName: 'checkout',
    fileName: 'https://shop.example/static/js/main.4f2a1b3c.js',
    lineNumber: 1,
    columnNumber: 2,
    inApp: true,
    raw: '',
    ...given,
  }
}

function of(frames: readonly Partial<Frame>[], given: Partial<Occurrence> = {}): Grouping {
  const parsedStack = { frames: frames.map(aFrame), raw: '', parser: 'browser' as const }
  return group(anOccurrence({ parsedStack, ...given }))
}

const ofText = (stackTrace: string, given: Partial<Occurrence> = {}): Grouping =>
  group(anOccurrence({ stackTrace, ...given }))
const ofMessage = (message: string): Grouping => ofText('', { message })

describe('version 1 never changes', () => {
  test.each(GOLDEN)('$name', ({ name, stack, fingerprint, secondary, components }) => {
    const grouped = ofText(stack, { code: `golden/${name}`, message: 'Order 42 failed' })
    expect(grouped).toEqual({
      fingerprint,
      secondary,
      basis: 'stack',
      components: [`golden/${name}`, ...components],
    })
    // Again, out of the memory.
    expect(ofText(stack, { code: `golden/${name}`, message: 'Order 42 failed' })).toEqual(grouped)
  })

  test('every golden stack is an issue of its own', () => {
    expect(new Set(GOLDEN.map(({ fingerprint }) => fingerprint)).size).toBe(GOLDEN.length)
  })

  test('of parsed frames, of a message, and of a client fingerprint', () => {
    const given = { code: 'golden/parsed', message: 'Order 42 failed' }
    expect(of([{}, { inApp: false, functionName: 'commit' }], given)).toEqual({
      fingerprint: 'v1:c54c8c74ee50479123684fa2afd9a1ba',
      secondary: 'v1:60cbe56ae3e53189cec278e25a272859',
      basis: 'stack',
      components: ['golden/parsed', 'main.js#checkout'],
    })
    expect(group(anOccurrence({ ...given, stackTrace: '' }))).toEqual({
      fingerprint: 'v1:c56f7f5f7117a658e2d1ac47f86b4a0a',
      secondary: 'v1:c56f7f5f7117a658e2d1ac47f86b4a0a',
      basis: 'message',
      components: ['golden/parsed', 'Order <int> failed'],
    })
    expect(group(anOccurrence({ ...given, fingerprint: ['cart', 'total'] }))).toEqual({
      fingerprint: 'v1:d767e8a699fcd5c7f95e222402f6e89a',
      secondary: 'v1:d767e8a699fcd5c7f95e222402f6e89a',
      basis: 'client',
      components: ['cart', 'total'],
    })
  })
})

describe('the same bug in two releases is one issue', () => {
  const first = of([{}, { functionName: 'commit', inApp: false }])

  test.each<readonly [string, readonly Partial<Frame>[]]>([
    ['lines and columns moved', [{ lineNumber: 99, columnNumber: 9 }]],
    [
      'the bundle has a new hash',
      [{ fileName: 'https://shop.example/static/js/main.99aa11bb.js' }],
    ],
    ['another host and folder', [{ fileName: 'https://cdn.example/r/2024.1.2/main.js?v=7' }]],
    ['async noise', [{ functionName: 'async Object.checkout' }]],
    ['a deeper recursion', [{}, {}, {}, { functionName: 'checkout' }]],
    ['other library calls', [{}, { functionName: 'flush', inApp: false }]],
    ['symbolicated names of the same', [{ functionName: 'e', originalFunctionName: 'checkout' }]],
  ])('%s', (_name, frames) => {
    expect(of(frames).fingerprint).toBe(first.fingerprint)
  })

  test('as text, for every golden stack whose line numbers are moved', () => {
    for (const { name, stack } of GOLDEN) {
      const moved = stack.replaceAll(/:(\d+)(?=[:)\n]|$)/g, (_all, line) => `:${Number(line) + 7}`)
      const given = { code: name, message: 'x' }
      expect(ofText(moved, given).fingerprint, name).toBe(ofText(stack, given).fingerprint)
    }
  })

  test('minified receivers are not part of a name', () => {
    expect(of([{ functionName: 't.render' }]).fingerprint).toBe(
      of([{ functionName: 'n.render' }]).fingerprint,
    )
  })
})

describe('two bugs are two issues', () => {
  test.each<readonly [string, Grouping, Grouping]>([
    ['another function', of([{}]), of([{ functionName: 'pay' }])],
    ['another file', of([{}]), of([{ fileName: 'https://shop.example/static/js/admin.js' }])],
    ['another caller', of([{}, { functionName: 'a1b2' }]), of([{}, { functionName: 'other' }])],
    ['another code', of([{}], { code: 'a' }), of([{}], { code: 'b' })],
    [
      'files of one name in two folders',
      of([{ fileName: '/srv/app/orders/views.py', functionName: 'get' }]),
      of([{ fileName: '/srv/app/users/views.py', functionName: 'get' }]),
    ],
    [
      'anonymous functions on different source lines',
      of([{ functionName: null, contextLine: 'throw new Error("a")' }]),
      of([{ functionName: null, contextLine: '  pay(cart)' }]),
    ],
    [
      'minified bundles tell by their message',
      of([{ functionName: 'e' }], { message: 'cart is undefined' }),
      of([{ functionName: 'e' }], { message: 'user is undefined' }),
    ],
    ['messages with other words', ofMessage('cart is empty'), ofMessage('cart is full')],
  ])('%s', (_name, one, other) => {
    expect(one.fingerprint).not.toBe(other.fingerprint)
  })

  test('one text under different frames is not taken for the same out of the memory', () => {
    const raw = 'the same text'
    const parsed = (functionName: string): string =>
      group(
        anOccurrence({
          parsedStack: { frames: [aFrame({ functionName })], raw, parser: 'browser' },
        }),
      ).fingerprint
    expect(parsed('one')).not.toBe(parsed('two'))
    expect(parsed('one')).toBe(parsed('one'))
    expect(ofText('x', { message: 'a' }).fingerprint).not.toBe(
      ofText('x', { message: 'b' }).fingerprint,
    )
  })
})

describe('the basis', () => {
  test('secondary is made of all calls, the fingerprint of our own only', () => {
    const one = of([{}, { functionName: 'commit', inApp: false }])
    const other = of([{}, { functionName: 'flush', inApp: false }])
    expect(one.fingerprint).toBe(other.fingerprint)
    expect(one.secondary).not.toBe(other.secondary)
    expect(of([{}]).secondary).toBe(of([{}]).fingerprint)
  })

  test('where no call is our own, all count', () => {
    const one = of([{ inApp: false }, { functionName: 'commit', inApp: false }], { code: 'a/b' })
    expect(one.components).toEqual(['a/b', 'main.js#checkout', 'main.js#commit'])
  })

  test('{{ default }} in a client fingerprint stands for the computed one', () => {
    const computed = of([{}])
    expect(of([{}], { fingerprint: ['{{ default }}'] })).toEqual(computed)
    const split = of([{}], { fingerprint: ['{{default}}', 'eu'] })
    expect(split.basis).toBe('client')
    expect(split.components).toEqual([...computed.components, 'eu'])
    expect(
      of([{ functionName: 'pay' }], { fingerprint: ['{{default}}', 'eu'] }).fingerprint,
    ).not.toBe(split.fingerprint)
    expect(of([{ functionName: 'pay' }], { fingerprint: ['eu'] }).fingerprint).toBe(
      of([{}], { fingerprint: ['eu'] }).fingerprint,
    )
  })

  test('parts cannot pass for each other', () => {
    const client = (...fingerprint: string[]): string =>
      group(anOccurrence({ fingerprint })).fingerprint
    expect(client('a', 'b')).not.toBe(client('a,b'))
    expect(client('a","b')).not.toBe(client('a', 'b'))
    expect(client('a')).not.toBe(client('a', ''))
  })

  test('components are bounded, whatever the client sent', () => {
    const fingerprint = Array.from({ length: 100 }, () => 'x'.repeat(10_000))
    const { components } = group(anOccurrence({ fingerprint }))
    expect(components.length).toBe(64)
    expect(Math.max(...components.map((part) => part.length))).toBe(300)
    const frames = Array.from({ length: 250 }, (_, at) => ({ functionName: `name${at}` }))
    expect(of(frames).components.length).toBe(51)
  })
})

test.each([
  ['https://a.example/static/js/main.4f2a1b3c.chunk.js?v=1#x', 'main.chunk.js'],
  ['https://a.example/assets/index-BxY3k2_a.js', 'index.js'],
  ['https://a.example/123.js', '*.js'],
  ['https://a.example/jquery-3.7.1.min.js', 'jquery.min.js'],
  ['http://localhost:5173/src/components/Cart.tsx?t=1', 'components/cart.tsx'],
  ['webpack:///./src/pages/cart.tsx', 'pages/cart.tsx'],
  ['file:///srv/app/1.2.3/server.js', 'server.js'],
  ['C:\\work\\shop\\Cart.cs', 'shop/cart.cs'],
  ['/data/app/x/index.android.bundle', 'index.android.bundle'],
  ['my-component.js', 'my-component.js'],
  ['checkout-form.js', 'checkout-form.js'],
  ['page2.js', 'page2.js'],
  ['<anonymous>', ''],
  ['', ''],
])('the file %s is %s', (given, expected) => {
  expect(normaliseFile(given)).toBe(expected)
})

test.each([
  ['async Object.load [as fetch]', 'fetch'],
  ['new Cart', 'Cart'],
  ['<anonymous>', ''],
  ['Object.<anonymous>', ''],
  ['foo/bar/<', 'foo/bar'],
  ['block (2 levels) in total', 'total'],
  ['shop::total::{{closure}}::h0123456789abcdef', 'shop::total'],
  ['main.(*Server).run.func1.2', 'main.(*Server).run'],
  ['com.shop.Cart$1.run', 'com.shop.Cart.run'],
  ['Shop.Cart.<PayAsync>d__12.MoveNext', 'PayAsync'],
  ['plain_name', 'plain_name'],
])('the function %s is %s', (given, expected) => {
  expect(normaliseFunction(given)).toBe(expected)
})

test.each([
  ['User 123 was not found', 'User <int> was not found'],
  ['at 2024-01-15T10:30:00.000Z', 'at <date>'],
  ['GET /users/42/orders/7 took 12.5ms', 'GET /users/<int>/orders/<int> took <duration>'],
  ['https://a.example/b?c=d failed for bob@mail.example', '<url> failed for <email>'],
  ['10.0.0.1:80 and fe80::1', '<ip> and <ip>'],
  ['id 123e4567-e89b-12d3-a456-426614174000', 'id <uuid>'],
  ['da39a3ee5e6b4b0d and 0xff', '<hex> and <hex>'],
  ["cannot read 'foo', can't do", "cannot read <str>, can't do"],
  ['off by -3.14', 'off by <float>'],
  ['std::vector of x1 facade', 'std::vector of x1 facade'],
  ['a  b\n c', 'a b c'],
])('the message %j is %j', (given, expected) => {
  expect(parameterise(given)).toBe(expected)
})

test('any stack, message and frames give a fingerprint, the same each time', () => {
  const lines = GOLDEN.flatMap(({ stack }) => stack.split('\n'))
  const anyStack = fc
    .array(fc.oneof(fc.constantFrom(...lines), fc.string({ unit: 'binary' })))
    .map((parts) => parts.join('\n'))
  const name = fc.option(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...lines)))
  fc.assert(
    fc.property(
      anyStack,
      fc.string({ unit: 'binary' }),
      fc.array(name),
      (stack, message, names) => {
        const frames = names.map((functionName) => ({ functionName, fileName: functionName }))
        for (const grouped of [ofText(stack, { message }), of(frames, { message })]) {
          expect(grouped.fingerprint).toMatch(/^v1:[0-9a-f]{32}$/)
          expect(grouped.secondary).toMatch(/^v1:[0-9a-f]{32}$/)
        }
        expect(ofText(stack, { message })).toEqual(ofText(stack, { message }))
      },
    ),
  )
})

describe('time is bounded for any input', () => {
  const seeds = [
    ...[
      'a',
      '1',
      '.',
      '1.',
      '1.1.',
      '-',
      '@',
      'a@',
      'a@b.',
      ':',
      '::',
      'a:',
      '"',
      "'",
      '`"',
      '/',
      '(',
      ')',
      ' ',
    ],
    ...[
      '<',
      '<a>',
      '$',
      '$$Lambda',
      '[as ',
      ' [as x]',
      'at ',
      'at a (',
      '\nat a (b:1:1)',
      '\n#1 a: b',
      '\na@b:1',
    ],
    ...[
      '0x',
      'f1',
      '\n1: a\nat b',
      '\n\ta.go:1',
      ':in ',
      '\nFile "',
      '}}',
      '{{closure}}',
      '.func1',
      '_1',
      'http://',
    ],
  ]
  const cpuMs = (run: () => void): number => {
    run()
    const before = process.cpuUsage()
    run()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }

  test.each(seeds)('of %j over and over', (seed) => {
    // Another character at the end each time, so that the memory does not answer.
    let round = 0
    const fill = (chars: number): string =>
      `${seed.repeat(Math.ceil(chars / seed.length)).slice(0, chars)}${round++}`
    expect(cpuMs(() => ofMessage(fill(1024 * 1024)))).toBeLessThan(200)
    expect(cpuMs(() => ofText(fill(64 * 1024)))).toBeLessThan(400)
    const frames = Array.from({ length: 250 }, () => ({
      functionName: fill(4096),
      fileName: fill(4096),
    }))
    expect(cpuMs(() => of(frames, { code: String(round++) }))).toBeLessThan(400)
  })
})

test('a memory holds what came last, within its count and bytes', () => {
  const memory = createMemory<number>({ countMax: 100, bytesMax: 100_000 })
  for (let at = 0; at < 1000; at++) memory.keep(`text ${at}`, at, 10)
  const kept = Array.from({ length: 1000 }, (_, at) => memory.find(`text ${at}`) !== undefined)
  expect(kept.filter(Boolean).length).toBeLessThanOrEqual(100)
  expect(memory.find('text 999')).toBe(999)
  expect(memory.find('text 0')).toBeUndefined()
  memory.keep('large', 1, 100_000)
  expect(memory.find('large')).toBeUndefined()
})
