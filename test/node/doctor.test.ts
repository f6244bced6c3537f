import { randomUUID } from 'node:crypto'
import { mkdtemp, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { strFromU8, unzipSync } from 'fflate'
import { z } from 'zod'
import { readConfig, SECRET_SETTINGS } from '../../src/config.ts'
import type { Finding } from '../../src/finding.ts'
import { chooseClickHouse } from '../../src/node/choose.ts'
import { clickHouseFindings } from '../../src/node/doctor/clickhouse.ts'
import { doctorCommand } from '../../src/node/doctor-cli.ts'
import { UsageError } from '../../src/node/spool-io.ts'
import { migrate } from '../../src/store/migrate.ts'
import { aSite, anEvent, settings } from '../flows/support.ts'
import { createDatabase } from '../support/database.ts'
import { documentedUsers, startEngineWithUsers } from '../support/users.ts'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'error-ingestor-doctor-'))
  undo.push(() => rm(made, { recursive: true, force: true }))
  return made
}

async function doctor(env: NodeJS.ProcessEnv, ...args: string[]) {
  let output = ''
  const code = await doctorCommand(args, {
    out: (text) => Promise.resolve(((output += text), true)),
    environment: () => env,
  })
  return { code, output }
}

const Report = z.strictObject({
  version: z.string(),
  at: z.iso.datetime(),
  findings: z.array(
    z.strictObject({
      check: z.string().regex(/^[a-z]+(-[a-z]+)+$/),
      level: z.enum(['ok', 'note', 'warning', 'wrong']),
      text: z.string().regex(/^[^\n]+$/),
      advice: z.string().min(10).optional(),
    }),
  ),
})

async function findings(env: NodeJS.ProcessEnv) {
  const { code, output } = await doctor(env, '--json')
  const report = Report.parse(JSON.parse(output))
  const bad = report.findings.filter(({ level }) => level === 'warning' || level === 'wrong')
  // Whoever is told of a trouble is told what to do.
  expect(bad.filter(({ advice }) => advice === undefined)).toEqual([])
  expect(code).toBe(bad.some(({ level }) => level === 'wrong') ? 1 : 0)
  return {
    code,
    all: report.findings,
    of: (check: string) => report.findings.filter((one) => one.check === check),
    /** A machine of a test may have little room. */
    bad: bad.filter(({ check }) => !/^(folder-|clickhouse-disk)/.test(check)),
  }
}

const kept = async (env: Record<string, string> = {}) => {
  const all = { ...(await settings()), ...env }
  undo.push(() => rm(all['DATA_DIR'] ?? '', { recursive: true, force: true }))
  return all
}

describe('what it finds', () => {
  test('nothing wrong beside a running server, which it does not disturb, and the same without one', async () => {
    const own = await kept()
    const site = await aSite(own)
    undo.push(site.close)
    const env = { ...own, PORT: new URL(site.url).port }
    await site.ingest([anEvent()])
    const beside = await findings(env)
    expect(beside.bad).toEqual([])
    expect(beside.of('server-ready')).toMatchObject([{ level: 'ok' }])
    expect(beside.of('spool-owner')).toMatchObject([{ level: 'ok' }])
    expect(beside.of('schema-version')).toMatchObject([{ level: 'ok' }])
    const areas = new Set(beside.all.map(({ check }) => check.split('-')[0]))
    expect([...areas].sort()).toEqual(
      ['clickhouse', 'folder', 'keys', 'schema', 'server', 'settings', 'spool'].sort(),
    )
    expect((await site.ingest([anEvent()])).status).toBe(200)
    const text = await doctor(env)
    expect(text.output).toMatch(/^ClickHouse\n {2}ok {5}ClickHouse answers/m)
    const other = await findings({ ...env, PORT: '1', DATA_DIR: await folder() })
    expect(other.bad).toEqual([])
    expect(other.of('server-ready')).toMatchObject([{ level: 'note' }])
  })

  test('settings that cannot be read are all named, without their values', async () => {
    const { code, output } = await doctor({ PORT: 'hunter2', ADMIN_KEY: 'no spaces' })
    expect(code).toBe(1)
    expect(output).toMatch(/WRONG {2}PORT: /)
    expect(output).toMatch(/WRONG {2}ADMIN_KEY: /)
    expect(output).not.toMatch(/hunter2|no spaces/)
  })

  test('a ClickHouse that is away, one without a schema, and one with an old one', async () => {
    const env = await kept()
    const away = await findings({ ...env, CLICKHOUSE_HOST: 'http://127.0.0.1:9' })
    expect(away.of('clickhouse-reach')).toMatchObject([{ level: 'wrong' }])
    expect(away.of('clickhouse-reach')[0]?.advice).toMatch(/CLICKHOUSE_HOST/)
    expect(away.of('folder-sync')).toHaveLength(1)
    const missing = await findings(env)
    expect(missing.bad.map(({ check }) => check)).toEqual(['schema-version'])
    expect(missing.bad[0]?.advice).toMatch(/error-ingestor migrate/)
    const { clickhouse, database, drop } = await createDatabase()
    undo.push(drop)
    await clickhouse.command(`DELETE FROM ${database}.schema_migrations WHERE version > 5`)
    const old = await findings({ ...env, CLICKHOUSE_DATABASE: database })
    expect(old.bad.map(({ check, text }) => `${check}: ${text}`)).toEqual([
      expect.stringMatching(/^schema-version: The schema has version 5 and \d+ is needed/),
    ])
  })

  test('events that wait without a server, and those kept aside', async () => {
    const env = await kept({ CLICKHOUSE_HOST: 'http://127.0.0.1:9', SHUTDOWN_GRACE_MS: '1' })
    const site = await aSite(env)
    await site.ingest([anEvent(), anEvent()])
    // Without the folder being taken away, as `close` would.
    const beside = await findings({ ...env, PORT: new URL(site.url).port })
    expect(beside.of('spool-waiting')[0]?.text).toMatch(/^2 events wait/)
    expect(beside.of('server-ready')).toMatchObject([{ level: 'wrong' }])
    const aside = join(env['DATA_DIR'] ?? '', 'spool', 'undeliverable')
    await writeFile(join(aside, `${randomUUID()}.json`), '{}')
    const more = await findings({ ...env, PORT: '1' })
    expect(more.of('spool-undeliverable')[0]?.advice).toMatch(/spool undeliverable list/)
    await site.close().catch(() => undefined) // Its database cannot be dropped: there is no ClickHouse.
  })

  test('files of keys that are bad, keys that end soon, and no way in at all', async () => {
    const dir = await folder()
    const soon = new Date(Date.now() + 3 * 86_400_000).toISOString()
    const key = { key: 'ei_a_key_that_ends_soon', expiresAt: soon }
    await writeFile(
      join(dir, 'a.json'),
      JSON.stringify([{ id: 'shop', name: 'Shop', keys: [key] }]),
    )
    await writeFile(join(dir, 'b.yaml'), 'apps: [')
    const found = await findings(await kept({ KEYS_DIR: dir }))
    expect(found.of('keys-folder')).toMatchObject([{ level: 'wrong' }])
    expect(found.of('keys-folder')[0]?.text).toMatch(/b\.yaml/)
    expect(found.of('keys-expiry')[0]?.text).toMatch(/shop expires in [23] days/)
    const nobody = await findings(await kept({ NODE_ENV: 'production', HOST: '127.0.0.1' }))
    expect(nobody.of('keys-declared')).toMatchObject([{ level: 'wrong' }])
  })

  test('what is configured and cannot be reached', async () => {
    const found = await findings(
      await kept({
        OIDC_ISSUER: 'http://127.0.0.1:9/realm',
        OIDC_CLIENT_ID: 'x',
        SIGN_IN_RULES: '[{"domain":"example.com"}]',
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
      }),
    )
    expect(found.of('reach-oidc')).toMatchObject([{ level: 'wrong' }])
    expect(found.of('reach-otlp')).toMatchObject([{ level: 'warning' }])
  })

  test('rights that a user lacks, by their names', async () => {
    const [database, password] = ['doctor', 'a-password']
    const sql = await documentedUsers(database, password)
    const less = sql.replace(
      `GRANT SELECT, INSERT ON ${database}.* TO error_ingestor;`,
      `GRANT SELECT ON ${database}.* TO error_ingestor;`,
    )
    expect(less).not.toBe(sql)
    const engine = await startEngineWithUsers(less)
    undo.push(engine.close)
    const env = await kept({
      CLICKHOUSE_HOST: engine.url,
      CLICKHOUSE_DATABASE: database,
      ...{ CLICKHOUSE_USER: 'error_ingestor', CLICKHOUSE_PASSWORD: password },
      CLICKHOUSE_READER_USER: 'error_ingestor_reader',
      CLICKHOUSE_READER_PASSWORD: password,
      CLICKHOUSE_MIGRATOR_USER: 'error_ingestor_migrator',
      CLICKHOUSE_MIGRATOR_PASSWORD: password,
    })
    const { migrator, close } = await chooseClickHouse(readConfig(env), { say: () => undefined })
    await migrate(migrator, { database, retentionDays: 90, say: () => undefined })
    await close()
    const found = await findings(env)
    expect(found.bad.map(({ check }) => check)).toEqual(['clickhouse-rights-writer'])
    expect(found.bad[0]?.text).toMatch(/INSERT on doctor\.occurrences/)
    expect(found.of('clickhouse-rights-reader')).toMatchObject([{ level: 'ok' }])
    expect(found.of('clickhouse-rights-migrator')).toMatchObject([{ level: 'ok' }])
    expect(found.of('clickhouse-rights-delete')).toMatchObject([{ level: 'note' }])
    const wrong = await findings({ ...env, CLICKHOUSE_PASSWORD: 'another' })
    expect(wrong.of('clickhouse-reach')[0]?.advice).toMatch(/CLICKHOUSE_PASSWORD/)
  }, 90_000)

  const GIB = 1024 ** 3
  test.each<readonly [string, object, Partial<Finding>]>([
    ['doctor-server', { version: '25.8.1.1' }, { check: 'clickhouse-version', level: 'wrong' }],
    [
      'doctor-server',
      { nowMs: Date.now() + 90_000 },
      { check: 'clickhouse-clock', level: 'warning' },
    ],
    ['doctor-server', { nowMs: Date.now() - 9e6 }, { check: 'clickhouse-clock', level: 'wrong' }],
    [
      'doctor-settings',
      { name: 'insert_deduplicate', value: '0' },
      { check: 'clickhouse-settings', level: 'wrong' },
    ],
    [
      'doctor-tables',
      { name: 'occurrences', engine: 'MergeTree', engineFull: 'MergeTree ORDER BY id' },
      { check: 'clickhouse-settings', level: 'wrong' },
    ],
    [
      'doctor-disks',
      { name: 'default', path: '/', free: GIB, total: 100 * GIB },
      { check: 'clickhouse-disk', level: 'wrong' },
    ],
    [
      'doctor-parts',
      { table: 'occurrences', parts: 900, delay: 1_000, refuse: 3_000 },
      { check: 'clickhouse-parts', level: 'warning' },
    ],
    [
      'doctor-replicas',
      { table: 'occurrences', isReadonly: 1, queue: 0, delaySeconds: 0, total: 2, active: 2 },
      { check: 'clickhouse-replicas', level: 'wrong' },
    ],
    [
      'doctor-replicas',
      { table: 'occurrences', isReadonly: 0, queue: 9, delaySeconds: 900, total: 2, active: 1 },
      { check: 'clickhouse-replicas', level: 'warning' },
    ],
    [
      'doctor-troubles',
      { what: 'view', name: 'doubles_view' },
      { check: 'clickhouse-work', level: 'warning' },
    ],
  ])('of %s %o: %o', async (question, answer, expected) => {
    const { database, drop } = await createDatabase()
    undo.push(drop)
    const config = readConfig({
      CLICKHOUSE_HOST: inject('clickhouseUrl'),
      CLICKHOUSE_DATABASE: database,
    })
    const chosen = await chooseClickHouse(config, { say: () => undefined })
    undo.push(chosen.close)
    const real = chosen.clickhouse
    const changed = {
      ...real,
      query: async (...given: Parameters<typeof real.query>) => {
        const rows = await real.query(...given)
        if (!given[0].includes(`error-ingestor:${question} `)) return rows
        return [{ ...z.looseObject({}).parse(rows[0] ?? {}), ...answer }]
      },
    }
    const found = await clickHouseFindings(config, { ...chosen, clickhouse: changed })
    expect(found).toContainEqual(expect.objectContaining(expected))
    const unchanged = await clickHouseFindings(config, chosen)
    const { check, level } = expected
    expect(unchanged.filter((one) => one.check === check && one.level === level)).toEqual([])
  })
})

describe('the bundle', () => {
  test('holds what helps, for its owner alone, and none of the secrets', async () => {
    const dir = await folder()
    const marked = (name: string) =>
      `zq${name.toLowerCase().replaceAll('_', '')}0123456789abcdefXYZ`
    const secrets = SECRET_SETTINGS.map((name) => [name, marked(name)] as const)
    const [fileKey, appKey] = ['ei_zq_key_of_a_file_987', 'ei_zq_key_of_an_app_987']
    const keysDir = join(dir, 'keys')
    await mkdir(keysDir)
    await writeFile(
      join(keysDir, 'shop.yaml'),
      `apps:\n  - id: shop\n    name: Shop\n    keys:\n      - key: ${fileKey}\n`,
    )
    const site = await aSite()
    undo.push(site.close)
    const env = await kept({
      ...Object.fromEntries(secrets),
      SELF_DSN: 'http://zqkeyofadsn@127.0.0.1:9/1',
      CLICKHOUSE_DATABASE: site.database,
      CLICKHOUSE_HOST: 'http://someone:zqloginofanaddress@127.0.0.1:9',
      CLICKHOUSE_READER_USER: 'reader',
      CLICKHOUSE_MIGRATOR_USER: 'migrator',
      PUBLIC_URL: 'http://u:zqpublicpassword@127.0.0.1:9/',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=zqotlpheadervalue,x=y',
      APPS: JSON.stringify([{ id: 'blog', name: 'Blog', keys: [{ key: appKey }] }]),
      SIGN_IN_RULES: '[{"email":"zqsomebody@example.com"}]',
      KEYS_DIR: keysDir,
      PORT: new URL(site.url).port,
    })
    // One of them as a file, as Kubernetes mounts it.
    const passwordFile = join(dir, 'password')
    await writeFile(passwordFile, marked('CLICKHOUSE_PASSWORD'))
    const logs = join(dir, 'server.log')
    await writeFile(
      logs,
      `{"msg":"x","key":"${appKey}"}\npassword=zqunknownsecret\n${marked('ADMIN_KEY')}\nlast line\n`,
    )
    const file = join(dir, 'bundle.zip')
    const all = { ...env, CLICKHOUSE_PASSWORD: '', CLICKHOUSE_PASSWORD_FILE: passwordFile }
    const { output, code } = await doctor(all, '--bundle', file, '--logs', logs)
    expect(code).toBe(1) // There is no ClickHouse.
    expect((await stat(file)).mode & 0o077).toBe(0)
    const parts = Object.entries(unzipSync(await readFile(file))).map(
      ([name, bytes]) => [name, strFromU8(bytes)] as const,
    )
    const byName = Object.fromEntries(parts)
    expect(Object.keys(byName).sort()).toEqual(
      [
        ...['machine.json', 'metrics.txt', 'ready.json', 'report.json', 'report.txt'],
        ...['server.log', 'settings.json'],
      ].sort(),
    )
    for (const [name, text] of [...parts, ['output', output] as const]) {
      expect([name, text.match(/zq[\w-]*/gi)]).toEqual([name, null])
    }
    expect(byName['metrics.txt']).toMatch(/^error_ingestor_build_info/m)
    expect(byName['server.log']).toMatch(/last line/)
    const shown = z.record(z.string(), z.string()).parse(JSON.parse(byName['settings.json'] ?? ''))
    expect(shown['ADMIN_KEY']).toBe('(hidden)')
    expect(shown['CLICKHOUSE_HOST']).toBe('http://127.0.0.1:9/')
    expect(shown['KEYS_DIR']).toBe(keysDir)
  })
})

test('--help teaches, and what is not understood ends with a hint', async () => {
  expect((await doctor({}, '--help')).output).toMatch(/Exit codes: 0 nothing is wrong/)
  await expect(doctor({}, 'all')).rejects.toThrow(UsageError)
  await expect(doctor({}, '--logs', 'x')).rejects.toThrow(UsageError)
  await expect(doctor({}, '--bundle', '')).rejects.toThrow(UsageError)
})
