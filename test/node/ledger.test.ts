import { spawnSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { createLedger } from '../../src/node/ledger/ledger.ts'
import type { LedgerRow } from '../../src/store/ledger.ts'

const HOUR_MS = 3_600_000
const START_MS = Date.UTC(2026, 0, 1, 12)

/** What ClickHouse keeps: of each name and source the largest. It may fail before or after it stored. */
function aTable() {
  const rows = new Map<string, LedgerRow>()
  const table: {
    fails: 'no' | 'before' | 'after'
    readonly write: (written: readonly LedgerRow[]) => Promise<void>
    /** By app, outcome and reason. */
    readonly sums: () => Record<string, number>
  } = {
    fails: 'no',
    write: async (written) => {
      await Promise.resolve()
      if (table.fails === 'before') throw new Error('away')
      for (const row of written) {
        const { hour, appId, protocol, outcome, reason, source } = row
        const key = [hour, appId, protocol, outcome, reason, source].join('|')
        if ((rows.get(key)?.count ?? -1) < row.count) rows.set(key, row)
      }
      if (table.fails === 'after') throw new Error('the answer was lost')
    },
    sums: () => {
      const sums: Record<string, number> = {}
      for (const { appId, outcome, reason, count } of rows.values()) {
        const name = `${appId} ${outcome} ${reason}`
        sums[name] = (sums[name] ?? 0) + count
      }
      return sums
    },
  }
  return table
}

const aStep = fc.oneof(
  { weight: 5, arbitrary: fc.record({ refuse: fc.constantFrom('a', 'b', ''), count: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ deliver: fc.integer({ min: 1, max: 50 }) }) },
  { weight: 2, arbitrary: fc.constant({ again: true }) },
  { weight: 3, arbitrary: fc.record({ flush: fc.constantFrom('no', 'before', 'after') }) },
  { weight: 2, arbitrary: fc.record({ kill: fc.constantFrom('clean', 'torn') }) },
  { weight: 2, arbitrary: fc.record({ hours: fc.integer({ min: -5, max: 5 }) }) },
)

test('what was counted before a kill is in the table once, whatever failed, and however the clock jumped', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(aStep, { minLength: 3, maxLength: 60 }), async (steps) => {
      const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-ledger-'))
      const table = aTable()
      let nowMs = START_MS
      const open = () => {
        const opened = createLedger({
          write: table.write,
          say: () => undefined,
          nowMs: () => nowMs,
        })
        opened.open(folder)
        return opened
      }
      let ledger = open()
      const expected: Record<string, number> = {}
      const expect1 = (name: string, count: number) => {
        if (count > 0) expected[name] = (expected[name] ?? 0) + count
      }
      let ordinal = 0
      let last: (() => Promise<void>) | undefined
      for (const step of steps) {
        if ('refuse' in step) {
          if (step.count === 0) continue
          ledger.count(step.refuse, 'native', { kind: 'refused', reason: 'malformed' }, step.count)
          expect1(`${step.refuse} refused malformed`, step.count)
          await ledger.noted() // The answer comes later than this.
        } else if ('deliver' in step) {
          ordinal += step.deliver
          const [to, count] = [ordinal, step.deliver]
          const ends = [
            { appId: 'a', protocol: 'native', outcome: { kind: 'stored' }, count } as const,
          ]
          last = () => ledger.delivered(to, ends)
          await last()
          expect1('a stored ', count)
        } else if ('again' in step) {
          // A window whose end was not noted before the kill is delivered once more.
          await last?.()
        } else if ('flush' in step) {
          table.fails = step.flush
          await ledger.flush().catch(() => undefined)
        } else if ('hours' in step) {
          nowMs += step.hours * HOUR_MS
        } else {
          if (step.kill === 'torn') {
            const [name = ''] = readdirSync(folder).sort().reverse()
            appendFileSync(join(folder, name), '12345678 {"add":[[[0,')
          }
          ledger = open()
        }
      }
      table.fails = 'no'
      await ledger.flush()
      expect(table.sums()).toEqual(expected)
      expect(ledger.waiting()).toBe(0)
      await ledger.close()
      rmSync(folder, { recursive: true })
    }),
    { numRuns: 150, interruptAfterTimeLimit: 20_000 },
  )
}, 60_000)

test('what is counted in one turn is one write, and is in the journal when it says so', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-ledger-'))
  const deps = { write: () => Promise.resolve(), say: () => undefined, nowMs: () => START_MS }
  const ledger = createLedger(deps)
  ledger.open(folder)
  const lines = () => {
    const [name = ''] = readdirSync(folder).sort().reverse()
    return readFileSync(join(folder, name), 'latin1').split('\n').slice(0, -1)
  }
  const before = lines().length
  expect(ledger.noted()).toBeUndefined()
  for (const app of ['a', 'b', 'a', 'c']) {
    ledger.count(app, 'native', { kind: 'refused', reason: 'malformed' }, 1)
  }
  expect(lines().length).toBe(before)
  await ledger.noted()
  expect(ledger.noted()).toBeUndefined()
  expect(lines().length).toBe(before + 1)
  expect(lines().at(-1)).toMatch(/"a".*,2\].*"b".*,1\].*"c".*,1\]/)
  await ledger.close()
  rmSync(folder, { recursive: true })
})

test('a journal that is full begins anew with what ClickHouse does not have yet', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-ledger-'))
  const table = aTable()
  let nowMs = START_MS
  const deps = { write: table.write, say: () => undefined, nowMs: () => nowMs }
  const ledger = createLedger(deps)
  ledger.open(folder)
  for (let round = 0; round < 30_000; round += 1) {
    ledger.count('app', 'sentry', { kind: 'refused', reason: 'too_large' }, 1)
    await ledger.noted()
    if (round % 10_000 === 9_999) nowMs += 3 * HOUR_MS
  }
  await vi.waitUntil(() => readdirSync(folder).length === 1)
  const names = readdirSync(folder)
  expect(names).not.toContain('ledger-0000000001.log')
  const next = createLedger(deps)
  next.open(folder)
  await next.flush()
  expect(table.sums()).toEqual({ 'app refused too_large': 30_000 })
  await next.close()
  rmSync(folder, { recursive: true })
})

test('a disk without room for a new journal takes counts in the old one, through kills', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-ledger-'))
  const table = aTable()
  const deps = { write: table.write, say: () => undefined, nowMs: () => START_MS }
  const first = createLedger(deps)
  first.open(folder)
  first.count('app', 'native', { kind: 'refused', reason: 'malformed' }, 5)
  await first.flush()
  // No file of these processes grows over 600 KiB: a new journal, of a MiB, is half written and fails.
  const counting = `
    import { createLedger } from ${JSON.stringify(resolve('src/node/ledger/ledger.ts'))}
    const ledger = createLedger({ write: async () => {}, say: console.log, nowMs: () => ${START_MS} })
    ledger.count('app', 'native', { kind: 'refused', reason: 'timeout' }, 1)
    ledger.open(${JSON.stringify(folder)})
    for (let i = 0; i < 100; i += 1) {
      ledger.count('app', 'native', { kind: 'refused', reason: 'overloaded' }, 1)
      await ledger.noted()
    }
    process.kill(process.pid, 'SIGKILL')`
  for (let times = 0; times < 3; times += 1) {
    const command = ['ulimit -f 1200; exec "$0" --input-type=module --eval "$1"']
    const { signal, stdout } = spawnSync('sh', ['-c', ...command, process.execPath, counting])
    expect([signal, String(stdout)]).toEqual(['SIGKILL', ''])
  }
  expect(readdirSync(folder)).toEqual(['ledger-0000000001.log'])
  const last = createLedger(deps)
  last.open(folder)
  await last.flush()
  expect(table.sums()).toEqual({
    'app refused malformed': 5,
    'app refused overloaded': 300,
    'app refused timeout': 3,
  })
  await Promise.all([first.close(), last.close()])
  rmSync(folder, { recursive: true })
})

test('an emptied spool is counted from its new beginning', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-ledger-'))
  const table = aTable()
  const ledger = createLedger({
    write: table.write,
    say: () => undefined,
    nowMs: () => START_MS,
  })
  ledger.open(folder)
  const stored = (count: number) => [
    { appId: 'a', protocol: 'native', outcome: { kind: 'stored' }, count } as const,
  ]
  ledger.opened(0, 100)
  await ledger.delivered(100, stored(100))
  ledger.opened(0, 0)
  await ledger.delivered(7, stored(7))
  await ledger.flush()
  expect(table.sums()).toEqual({ 'a stored ': 107 })
  await ledger.close()
  rmSync(folder, { recursive: true })
})
