import { expect, test } from 'vitest'
import type { AuditEntry } from '../../src/administration.ts'
import { createDoorNotes } from '../../src/sessions/notes.ts'

const visitor = {
  ...{ address: '192.0.2.7', origin: 'http://localhost', viaProxy: false, requestId: 'r-1' },
}

/** An audit log that can be away. */
function aLog() {
  const log = { isAway: false, inserts: Array<readonly AuditEntry[]>(), said: Array<string>() }
  const notes = createDoorNotes({
    put: (entries) => {
      if (log.isAway) return Promise.reject(new Error('ClickHouse is away.'))
      log.inserts.push(entries)
      return Promise.resolve()
    },
    say: (level, text) => log.said.push(`${level}: ${text}`),
    nowMs: () => 1_000,
  })
  const come = (who: string) =>
    notes.note('session.begin', { who, visitor, detail: { way: 'password' } })
  return { log, notes, come, who: () => log.inserts.flat().map(({ actor }) => actor) }
}

test('who came is in the log before the answer: who, when, from where, and how', async () => {
  const { log, come } = aLog()
  await come('oidc:ada')
  const entries = log.inserts.flat()
  expect(entries).toHaveLength(1)
  expect(entries[0]?.id).toMatch(/^[0-9a-f-]{36}$/)
  expect(entries[0]).toMatchObject({
    ...{ atMs: 1_000, actor: 'oidc:ada' },
    ...{ address: '192.0.2.7', requestId: 'r-1', action: 'session.begin' },
    ...{ appId: '', target: '', detail: { way: 'password' } },
  })
  expect(log.said).toEqual([])
})

test('while the log is away nobody is kept out, and all of it is noted once it is back, once', async () => {
  const { log, notes, come, who } = aLog()
  log.isAway = true
  for (const name of ['a', 'b', 'c']) await come(name)
  expect(log.inserts).toEqual([])
  expect(log.said[0]).toMatch(/^warn: sign-ins cannot be noted/)
  log.isAway = false
  await notes.flush()
  await notes.flush()
  expect(who()).toEqual(['a', 'b', 'c'])
})

test('what comes at once takes few inserts', async () => {
  const { log, come, who } = aLog()
  await Promise.all(Array.from({ length: 50 }, (_, n) => come(`p${n}`)))
  expect(who()).toHaveLength(50)
  expect(new Set(who()).size).toBe(50)
  expect(log.inserts.length).toBeLessThan(5)
})

test('of more than a thousand that wait the oldest are given up, and that is said', async () => {
  const { log, notes, come, who } = aLog()
  log.isAway = true
  for (let n = 0; n <= 1_000; n++) await come(`p${n}`)
  expect(log.said.filter((line) => line.startsWith('error: '))).toHaveLength(1)
  log.isAway = false
  await notes.flush()
  expect([who().length, who()[0], who().at(-1)]).toEqual([1_000, 'p1', 'p1000'])
})
