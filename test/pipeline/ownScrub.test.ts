import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Occurrence } from '../../src/occurrence.ts'
import { cutAddresses } from '../../src/pipeline/addresses.ts'
import { globMatcher } from '../../src/pipeline/globs.ts'
import { ownScrub } from '../../src/pipeline/ownScrub.ts'
import { anOccurrence } from '../support/occurrence.ts'

describe('globs', () => {
  test.each([
    ['salary', 'salary', true],
    ['salary', 'SALARY', true],
    ['salary', 'base_salary', false],
    ['*_ssn', 'employee_ssn', true],
    ['*_ssn', '_ssn', true],
    ['*_ssn', 'ssn', false],
    ['emp*', 'employee', true],
    ['emp*', 'temp', false],
    ['*iban*', 'customerIbanOld', true],
    ['a*b*c', 'abc', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'acb', false],
    ['a*a', 'a', false],
    ['ab*ba', 'aba', false],
    ['*', '', true],
    ['**', 'x', true],
    ['a.c', 'abc', false],
    ['[a-z]+', 'abc', false],
  ])('%s and %s', (glob, text, matches) => {
    expect(globMatcher([glob])(text)).toBe(matches)
  })

  test('are what a regular expression of them would be', () => {
    const part = fc.constantFrom('a', 'b', '*', '.')
    const glob = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(glob, fc.stringMatching(/^[ab.]{0,12}$/), (pattern, text) => {
        const escaped = pattern.replaceAll('.', '\\.').replaceAll('*', '.*')
        expect(globMatcher([pattern])(text)).toBe(new RegExp(`^${escaped}$`).test(text))
      }),
    )
  })

  test('none match nothing', () => {
    expect(globMatcher([])('')).toBe(false)
  })
})

describe('fields of an app that are secret', () => {
  const run = ownScrub({ globs: ['*_ssn', 'salary', 'user.email'], truncateIp: false })

  test('lose their values wherever they are, with one mark for each field that changed', () => {
    const given = anOccurrence({
      message: 'bad row: employee_ssn=078-05-1120 salary="9000" email=a@b.example',
      metadata: {
        salary: 9_000,
        list: [{ employee_ssn: { raw: '078' } }],
        user: { email: 'a@b.example', name: 'bob' },
        email: 'stays@b.example',
        'user.email': 'a@b.example',
      },
      tags: { salary: '9000', team: 'a' },
      breadcrumbs: [
        { data: { user: { email: 'a@b.example' } } },
        { user: { email: 'a@b.example' } },
      ],
      marks: ['message:cut'],
    })
    const after = run(given)
    expect(after.message).toBe(
      'bad row: employee_ssn=[scrubbed] salary="[scrubbed]" email=a@b.example',
    )
    expect(after.metadata).toEqual({
      salary: '[scrubbed]',
      list: [{ employee_ssn: '[scrubbed]' }],
      user: { email: '[scrubbed]', name: 'bob' },
      email: 'stays@b.example',
      'user.email': '[scrubbed]',
    })
    expect(after.tags).toEqual({ salary: '[scrubbed]', team: 'a' })
    expect(after.breadcrumbs).toEqual([
      { data: { user: { email: 'a@b.example' } } },
      { user: { email: '[scrubbed]' } },
    ])
    expect(after.marks).toEqual([
      ...['message:cut', 'message:scrubbed', 'metadata:scrubbed', 'tags:scrubbed'],
      'breadcrumbs:scrubbed',
    ])
    expect(run(after)).toBe(after)
  })

  test('leave an event without them as it is', () => {
    const given = anOccurrence({
      metadata: { deep: [{ salary: null }], b: true },
      tags: { a: 'b' },
    })
    expect(run(given)).toBe(given)
  })
})

describe('addresses', () => {
  test.each([
    ['connect ECONNREFUSED 192.168.17.4:5432', 'connect ECONNREFUSED 192.168.17.0:5432'],
    ['http://10.1.2.3/a', 'http://10.1.2.0/a'],
    ['203.0.113.9', '203.0.113.0'],
    ['from 203.0.113.9, 198.51.100.7', 'from 203.0.113.0, 198.51.100.0'],
    ['2001:db8:85a3:8d3:1319:8a2e:370:7348', '2001:db8:85a3::'],
    ['[2001:db8::1]:443', '[2001:db8:0::]:443'],
    ['fe80::1ff:fe23:4567:890a', 'fe80:0:0::'],
    ['::ffff:203.0.113.9', '::ffff:203.0.113.0'],
  ])('%s becomes %s', (text, cut) => {
    expect(cutAddresses(text)).toBe(cut)
    expect(cutAddresses(cut)).toBe(cut)
  })

  test.each([
    ...['127.0.0.1', '0.0.0.0', '::1', '::', 'v1.2.3.4', '1.2.3.4.5', '1.2.3', '300.1.2.3'],
    ...['10:30:00', '2026-11-26T10:30:00.000Z', '00:1b:44:11:3a:b7', 'std::vec', 'core::fmt::a1'],
    ...['at load (app.js:10:5)', 'Dad::Bad', 'a.b.c.d', 'key: value', '1::2::3', 'x1.2.3.4x'],
  ])('%s stays', (text) => {
    expect(cutAddresses(text)).toBe(text)
  })

  const FIELDS = ['message', 'stackTrace', 'userId', 'code'] as const satisfies (keyof Occurrence)[]

  test('are cut in every field, and marked', () => {
    const ip = '203.0.113.77'
    const given = anOccurrence({
      ...Object.fromEntries(FIELDS.map((field) => [field, `at ${ip}`])),
      parsedStack: {
        frames: [
          {
            ...{ functionName: 'f', fileName: `http://${ip}/a.js`, lineNumber: 1, columnNumber: 1 },
            ...{ inApp: true, raw: `at f (http://${ip}/a.js:1:1)`, contextLine: ip },
          },
        ],
        raw: ip,
        parser: 'node',
      },
      metadata: { user: { ip_address: ip }, list: [ip] },
      tags: { ip },
      fingerprint: [ip],
      breadcrumbs: [{ data: { ip } }],
    })
    const run = ownScrub({ globs: [], truncateIp: true })
    const after = run(given)
    expect(JSON.stringify(after)).not.toContain(ip)
    expect(after.metadata).toEqual({ user: { ip_address: '203.0.113.0' }, list: ['203.0.113.0'] })
    expect(after.marks.every((mark) => mark.endsWith(':anonymised'))).toBe(true)
    expect(after.marks).toHaveLength(9)
    expect(run(after)).toBe(after)
    expect(ownScrub({ globs: [], truncateIp: false })(given)).toBe(given)
  })

  test.each(['1', '1.', '1.1.1.1', ':', 'a:', '1:', '::1 ', '1.1.1.1 ', 'ff:0'])(
    'a megabyte of %j takes at most about four times what a quarter takes',
    (seed) => {
      const of = (chars: number) => seed.repeat(chars / seed.length)
      const [quarter, whole] = [cpuMs(of(2 ** 18)), cpuMs(of(2 ** 20))]
      expect(whole).toBeLessThan(quarter * 8 + 60)
    },
  )
})

/** CPU of this process, the least of three rounds. */
function cpuMs(text: string): number {
  const rounds = [0, 1, 2].map(() => {
    const before = process.cpuUsage()
    cutAddresses(text)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  })
  return Math.min(...rounds)
}
