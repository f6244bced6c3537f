import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate, plan } from '../../src/store/migrate.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

let reference: TestDatabase
let made: TestDatabase
beforeAll(async () => {
  reference = await createDatabase({ schema: false })
  made = await createDatabase({ schema: false })
})
afterAll(async () => {
  await reference.drop()
  await made.drop()
})

/** ClickHouse, seen through a place where each statement that changes something is told before it goes on. */
async function aWay(to: string, changing: (sql: string) => 'pass' | 'last') {
  const last: { reached: () => void } = { reached: () => undefined }
  const underWay: Promise<void>[] = []
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      const body = Buffer.concat(pieces)
      const sql = body.toString().replaceAll(/^\s*(?:--.*\n|\/\*.*?\*\/)\s*/gm, '')
      const fate = /^\s*(?:CREATE|ALTER|INSERT|DROP)\b/i.test(sql) ? changing(sql) : 'pass'
      // The process is killed while ClickHouse is at it: the statement goes there, the answer nowhere.
      if (fate === 'last') last.reached()
      const answered = forward(
        to + (request.url ?? ''),
        request.method ?? 'GET',
        request.headers,
        body,
      ).then(async (answer) => {
        const headers = new Headers(answer.headers)
        // Its body is whole and plain by now.
        for (const name of ['content-encoding', 'content-length', 'transfer-encoding'])
          headers.delete(name)
        response.writeHead(answer.status, Object.fromEntries(headers))
        response.end(Buffer.from(await answer.arrayBuffer()))
      })
      underWay.push(answered)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    last,
    close: async () => {
      await Promise.all(underWay)
      server.closeAllConnections()
      server.close()
    },
  }
}

function forward(url: string, method: string, headers: object, body: Buffer): Promise<Response> {
  const kept = Object.entries(headers).filter(
    ([name]) =>
      !['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive'].includes(name),
  )
  return fetch(url, {
    method,
    headers: kept.map(([name, value]): [string, string] => [name, String(value)]),
    ...(method === 'POST' && { body: new Uint8Array(body) }),
  })
}

/** Runs `migrate` until its statement number `at` is with ClickHouse, kills it, and says what it had done. */
async function killedAt(at: number) {
  const statements: string[] = []
  const way = await aWay(made.url, (sql) => (statements.push(sql) === at ? 'last' : 'pass'))
  const { PATH, HOME } = process.env
  const child = spawn(process.execPath, [MAIN, 'migrate'], {
    env: { PATH, HOME, CLICKHOUSE_HOST: way.url, CLICKHOUSE_DATABASE: made.database },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let words = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text))
  way.last.reached = () => {
    child.kill('SIGKILL')
  }
  await once(child, 'exit')
  await way.close()
  return { statements, by: child.signalCode, code: child.exitCode, words }
}

const tablesOf = ({ clickhouse, database }: TestDatabase) =>
  clickhouse.query(
    `SELECT name, replaceAll(create_table_query, {database: String}, 'db') AS made
    FROM system.tables WHERE database = {database: String} ORDER BY name`,
    { database },
  )

test('a migration that is killed with SIGKILL at each of its statements ends well with the next run', async () => {
  const options = { retentionDays: 90, say: () => undefined }
  const all = (
    await plan(reference.clickhouse, { database: reference.database, retentionDays: 90 })
  ).steps
  const count = all.flatMap(({ statements }) => statements).length
  await migrate(reference.clickhouse, { ...options, database: reference.database })

  // Each run begins where the one before was killed, and is killed at the first statement that none was
  // killed at yet: so every statement is cut once, and every run has a cut one before it.
  const cut = new Set<string>()
  for (let runs = 0; ; runs += 1) {
    expect(runs).toBeLessThanOrEqual(count)
    const next = (await plan(made.clickhouse, { database: made.database, retentionDays: 90 })).steps
      .flatMap(({ statements }) => statements)
      .findIndex((statement) => !cut.has(statement))
    if (next < 0) break
    const statement = (
      await plan(made.clickhouse, { database: made.database, retentionDays: 90 })
    ).steps
      .flatMap(({ statements }) => statements)
      .at(next)
    const run = await killedAt(next + 1)
    expect([run.by, run.statements.length], run.words).toEqual(['SIGKILL', next + 1])
    if (statement !== undefined) cut.add(statement)
  }
  expect(cut.size).toBe(count)

  const { code, by } = await killedAt(Infinity)
  expect([code, by]).toEqual([0, null])
  expect(await tablesOf(made)).toEqual(await tablesOf(reference))
  expect(
    (await plan(made.clickhouse, { database: made.database, retentionDays: 90 })).steps,
  ).toEqual([])
}, 400_000)
