import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withSecretFiles } from '../../src/node/secrets.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'error-ingestor-secrets-'))
  await writeFile(join(folder, 'password'), ' a secret \n')
  await writeFile(join(folder, 'empty'), '\n')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('a secret is read from the file that is named, without the newline at its end', () => {
  const env = { CLICKHOUSE_PASSWORD_FILE: join(folder, 'password'), PORT: '1' }
  expect(withSecretFiles(env)).toMatchObject({ CLICKHOUSE_PASSWORD: ' a secret ', PORT: '1' })
})

test('a file that cannot be read or is empty, and a secret that is given twice, are told at once', () => {
  expect(() =>
    withSecretFiles({
      CLICKHOUSE_PASSWORD_FILE: join(folder, 'none'),
      CLICKHOUSE_READER_PASSWORD_FILE: join(folder, 'empty'),
      CLICKHOUSE_MIGRATOR_PASSWORD_FILE: join(folder, 'password'),
      CLICKHOUSE_MIGRATOR_PASSWORD: 'x',
    }),
  ).toThrow(
    /CLICKHOUSE_PASSWORD_FILE: .*ENOENT[^]*READER_PASSWORD_FILE: the file is empty[^]*MIGRATOR_PASSWORD: set either/,
  )
})

test('a setting that is no secret is not read from a file', () => {
  const env = { PORT_FILE: join(folder, 'password') }
  expect(withSecretFiles(env)).toEqual(env)
})
