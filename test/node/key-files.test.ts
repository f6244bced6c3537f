import { mkdir, mkdtemp, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { keyFolder } from '../../src/node/key-files.ts'
import { knownKeysFile } from '../../src/node/known-keys.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'error-ingestor-keys-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('a folder of keys', () => {
  /** What the kubelet does: a new folder, a new link beside the old one, and one rename. */
  async function mount(version: string, files: Readonly<Record<string, string>>): Promise<void> {
    const own = join(folder, `..${version}`)
    await mkdir(own)
    for (const [name, text] of Object.entries(files)) await writeFile(join(own, name), text)
    await symlink(`..${version}`, join(folder, '..data_tmp'))
    await rename(join(folder, '..data_tmp'), join(folder, '..data'))
    for (const name of Object.keys(files)) {
      await symlink(join('..data', name), join(folder, name)).catch(() => undefined)
    }
  }

  test('is read as the kubelet mounts it, each swap once', async () => {
    await mount('1', { 'a.json': '[1]', 'b.yaml': 'apps:\n  - id: shop\n', 'README.md': 'no' })
    const read = keyFolder(folder)
    expect(await read()).toEqual({
      files: [
        { name: 'a.json', content: [1] },
        { name: 'b.yaml', content: { apps: [{ id: 'shop' }] } },
      ],
      problem: undefined,
    })
    expect(await read()).toBeUndefined()
    await mount('2', { 'a.json': '[2]', 'b.yaml': '[]' })
    expect((await read())?.files[0]).toEqual({ name: 'a.json', content: [2] })
    expect(await read()).toBeUndefined()
  })

  test('with files that cannot be parsed says where, and not what stands there', async () => {
    await writeFile(join(folder, 'a.json'), '[{"key": "ei_secret_0123456789"')
    await writeFile(join(folder, 'b.yml'), 'apps:\n  - id: [ei_secret_0123456789\n  x')
    await writeFile(join(folder, '.hidden.json'), 'no')
    const files = (await keyFolder(folder)())?.files
    const problems = files?.map((file) => ('problem' in file ? file.problem : 'none'))
    expect(problems).toEqual(['The file is not JSON.', 'The file is not YAML (line 3).'])
    expect(JSON.stringify(files)).not.toContain('secret')
  })

  test('that is not there is told once, and read when it comes', async () => {
    const path = join(folder, 'later')
    const read = keyFolder(path)
    expect((await read())?.problem).toContain('ENOENT')
    expect(await read()).toBeUndefined()
    await mkdir(path)
    expect(await read()).toEqual({ files: [], problem: undefined })
  })
})

test('the file of known keys is replaced as a whole, and only its owner may read it', async () => {
  const file = knownKeysFile(join(folder, 'data'))
  expect(await file.read()).toBeUndefined()
  await file.write('one')
  await file.write('two')
  expect(await file.read()).toBe('two')
  expect(await readdir(join(folder, 'data'))).toEqual(['keys.json'])
  expect((await stat(join(folder, 'data', 'keys.json'))).mode & 0o777).toBe(0o600)
})
