import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { watchCertificates } from '../../src/node/certificates.ts'
import { chooseClickHouse } from '../../src/node/choose.ts'
import { startTlsProxy, type TlsProxy } from '../support/tls.ts'

let proxy: TlsProxy
let folder: string
beforeAll(async () => {
  proxy = await startTlsProxy(Number(new URL(inject('clickhouseUrl')).port))
  folder = await mkdtemp(join(tmpdir(), 'error-ingestor-tls-'))
})
afterAll(async () => {
  await proxy.close()
  await rm(folder, { recursive: true, force: true })
})

async function ask(env: Readonly<Record<string, string>>): Promise<readonly unknown[]> {
  const host = { CLICKHOUSE_HOST: `https://localhost:${proxy.port}` }
  const config = readConfig({ DATA_DIR: folder, ...host, ...env })
  const chosen = await chooseClickHouse(config, { say: () => undefined })
  try {
    // The database of the settings is not there; a question in `system` needs none.
    await chosen.migrator.command('CREATE DATABASE IF NOT EXISTS error_ingestor')
    return await chosen.clickhouse.query('SELECT 1 AS one', {})
  } finally {
    await chosen.close()
  }
}

test('a ClickHouse behind TLS is spoken to where its CA is named', async () => {
  const file = join(folder, 'ca.pem')
  await writeFile(file, proxy.ca)
  expect(await ask({ CLICKHOUSE_CA_FILE: file })).toEqual([{ one: 1 }])
})

test('one that nobody vouches for is not, and neither is one that another CA vouches for', async () => {
  await expect(ask({})).rejects.toThrow(/certificate/)
  const other = await startTlsProxy(1)
  const file = join(folder, 'other.pem')
  await writeFile(file, other.ca)
  await other.close()
  await expect(ask({ CLICKHOUSE_CA_FILE: file })).rejects.toThrow(/certificate/)
})

test('a CA file that is not there is told by the name of the setting', async () => {
  await expect(ask({ CLICKHOUSE_CA_FILE: join(folder, 'none.pem') })).rejects.toThrow(
    'CLICKHOUSE_CA_FILE: the file cannot be read (ENOENT).',
  )
})

test('a CA file for an address without TLS is a mistake, and told', () => {
  const env = { CLICKHOUSE_HOST: 'http://localhost:8123', CLICKHOUSE_CA_FILE: '/ca.pem' }
  expect(() => readConfig(env)).toThrow('CLICKHOUSE_CA_FILE: is for a CLICKHOUSE_HOST that begins')
})

const DAY_MS = 86_400_000
const inDays = (ms: number | undefined) => Math.round(((ms ?? NaN) - Date.now()) / DAY_MS)

test('the first certificate that ends is told, of the server or of those that vouch for it', async () => {
  const server = await startTlsProxy(1, 30)
  const other = await startTlsProxy(1, 10)
  const url = `https://localhost:${server.port}`
  const alone = watchCertificates(url, undefined)
  const both = watchCertificates(url, Buffer.from(`${server.ca}\n${other.ca}`))
  try {
    await vi.waitUntil(() => alone.expireAtMs() !== undefined)
    expect(inDays(alone.expireAtMs())).toBe(30)
    expect(inDays(both.expireAtMs())).toBe(10)
  } finally {
    alone.end()
    both.end()
    await server.close()
    await other.close()
  }
})

test('nothing is told where there is no certificate, or nobody answers', async () => {
  const plain = watchCertificates('http://localhost:1', undefined)
  const away = watchCertificates('https://localhost:1', undefined)
  await new Promise((resolve) => setImmediate(resolve))
  expect([plain.expireAtMs(), away.expireAtMs()]).toEqual([undefined, undefined])
  plain.end()
  away.end()
})
