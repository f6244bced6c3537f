import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, inject, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { chooseClickHouse } from '../../src/node/choose.ts'

const NOBODY = 'http://127.0.0.1:1'
const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function choose(env: Record<string, string>, defaultUrl: string) {
  const DATA_DIR = await mkdtemp(join(tmpdir(), 'error-ingestor-test-'))
  undo.push(() => rm(DATA_DIR, { recursive: true, force: true }))
  const chosen = await chooseClickHouse(readConfig({ DATA_DIR, ...env }), {
    say: () => undefined,
    defaultUrl,
  })
  undo.push(chosen.close)
  return { ...chosen, DATA_DIR }
}

test('nothing said, development mode: a server at the default address is used', async () => {
  const url = inject('clickhouseUrl')
  expect(await choose({}, url)).toMatchObject({ embedded: false, url })
})

test('nothing said, development mode, nobody there: the embedded one is started in DATA_DIR', async () => {
  const chosen = await choose({ CLICKHOUSE_USER: 'somebody', CLICKHOUSE_PASSWORD: 'x' }, NOBODY)
  expect(chosen.embedded).toBe(true)
  expect(chosen.where).toContain(`data in ${join(chosen.DATA_DIR, 'clickhouse')}`)
  // Its own login is used, not the configured one.
  await chosen.clickhouse.command('CREATE DATABASE error_ingestor')
  expect(await chosen.clickhouse.query('SELECT 1 AS one', {})).toEqual([{ one: 1 }])
})

test('`embedded` forces it, although a server is at the default address', async () => {
  const chosen = await choose({ CLICKHOUSE_HOST: 'embedded' }, inject('clickhouseUrl'))
  expect(chosen.embedded).toBe(true)
})

test('nothing said in production: the default address, whether anybody is there or not', async () => {
  const chosen = await choose({ NODE_ENV: 'production' }, NOBODY)
  expect(chosen).toMatchObject({ embedded: false, url: NOBODY })
})

test('an address that was given is used without asking it, and its password is not shown', async () => {
  const given = 'http://somebody:secret@127.0.0.1:1'
  const chosen = await choose({ CLICKHOUSE_HOST: given }, inject('clickhouseUrl'))
  expect(chosen).toMatchObject({ embedded: false, url: given })
  expect(chosen.where).not.toContain('secret')
})
