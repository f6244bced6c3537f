import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }

const KEY = `ei_${randomUUID().replaceAll('-', '')}`
const APPS = JSON.stringify([
  { id: 'shop', name: 'Shop', keys: [{ key: KEY, scopes: ['ingest', 'read'] }] },
])
const IMAGES = { server: 'error-ingestor:suite', standalone: 'error-ingestor:suite-standalone' }
const STARTED_WITHIN_MS = 40_000
const containers: string[] = []

beforeAll(async () => {
  for (const [target, tag] of Object.entries(IMAGES)) {
    const version = ['--build-arg', `VERSION=${manifest.version}`]
    await docker('build', '--quiet', '--target', target, '--tag', tag, ...version, '.')
  }
})

afterEach(async () => {
  for (const id of containers.splice(0)) await docker('rm', '--force', '--volumes', id)
})

describe.each(Object.entries(IMAGES))('the image %s', (target, image) => {
  test('runs as any user on a read-only root, gets healthy, and stops with 0', async () => {
    const { id, url } = await start(image, '--read-only', '--user', '12345', '--tmpfs', '/data')
    await answering(`${url}/health/live`)
    await eventually(async () => {
      expect(await docker('inspect', '-f', '{{.State.Health.Status}}', id)).toBe('healthy')
    })
    await docker('stop', '--time', '30', id)
    expect(await docker('inspect', '-f', '{{.State.ExitCode}}', id)).toBe('0')
  })

  test('keeps what it said yes to over a kill, on its volume alone', async () => {
    const { id, url } = await start(image, '--read-only', '--user', '12345')
    await answering(`${url}/health/live`)
    const answer = await fetch(`${url}/api/v1/ingest`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': KEY },
      body: JSON.stringify({ events: [anEvent()] }),
    })
    expect(await answer.json()).toEqual({ success: true, accepted: 1 })
    await docker('kill', '--signal', 'KILL', id)
    await docker('start', id)
    const again = await addressOf(id)
    await answering(`${again}/health/live`)
    if (target === 'standalone') {
      await eventually(async () => {
        const codes = await fetch(`${again}/dashboard/api/codes?appId=shop`, {
          headers: { 'x-api-key': KEY },
        })
        expect(await codes.json()).toMatchObject({ codes: [{ code: 'container/kept', count: 1 }] })
      })
    } else {
      expect(await docker('logs', id)).toMatch(/"rows":1\b.*the spool is open/)
    }
  })

  test('holds no package manager, no types, no development packages and no file of the host', async () => {
    const script = `
      const { readdirSync, existsSync } = require('node:fs')
      const files = readdirSync('/app', { recursive: true })
      console.log(JSON.stringify({
        top: readdirSync('/app').sort(),
        odd: files.filter((file) => /\\.(ts|map)$|node_modules\\/(esbuild|vitest|typescript|@types)\\//.test(file)),
        npm: existsSync('/usr/local/bin/npm') || existsSync('/usr/local/lib/node_modules'),
        engine: existsSync('/app/node_modules/@chdb'),
      }))`
    const found = await docker('run', '--rm', '--entrypoint', 'node', image, '-e', script)
    expect(JSON.parse(found)).toEqual({
      top: ['LICENSE', 'dist', 'node_modules', 'package.json'],
      odd: [],
      npm: false,
      engine: target === 'standalone',
    })
  })

  test('says its version, runs as a user by number and takes SIGTERM itself', async () => {
    expect(await docker('run', '--rm', image, '--version')).toBe(manifest.version)
    const config: unknown = JSON.parse(await docker('inspect', '-f', '{{json .Config}}', image))
    expect(config).toMatchObject({
      User: '10001:0',
      StopSignal: 'SIGTERM',
      Entrypoint: ['node', '/app/dist/main.js'],
      Labels: { 'org.opencontainers.image.version': manifest.version },
    })
  })

  test('refuses the development key', async () => {
    const apps = APPS.replace(KEY, 'ei_test_key_12345')
    const id = await docker('run', '--detach', '--env', `APPS=${apps}`, image)
    containers.push(id)
    expect(await docker('wait', id)).toBe('1')
    expect(await docker('logs', id)).toContain('the development key is public knowledge')
  })
})

function anEvent() {
  return {
    id: randomUUID(),
    code: 'container/kept',
    message: 'Kept.',
    stackTrace: '',
    appId: 'shop',
    appVersion: '1.0.0',
    platform: 'node',
    platformVersion: '24',
    timestamp: new Date().toISOString(),
  }
}

/** Starts a container with one app and key, its port on a free one of loopback. */
async function start(image: string, ...options: readonly string[]) {
  const port = ['--publish', '127.0.0.1::3000']
  const id = await docker('run', '--detach', ...port, '--env', `APPS=${APPS}`, ...options, image)
  containers.push(id)
  return { id, url: await addressOf(id) }
}

async function addressOf(id: string): Promise<string> {
  return `http://${(await docker('port', id, '3000/tcp')).split('\n')[0] ?? ''}`
}

async function answering(url: string): Promise<void> {
  await eventually(async () => {
    expect((await fetch(url)).status).toBe(200)
  })
}

/** Asks again until it holds; the last failure is thrown. */
async function eventually(holds: () => Promise<void>): Promise<void> {
  const untilMs = performance.now() + STARTED_WITHIN_MS
  for (;;) {
    try {
      await holds()
      return
    } catch (error) {
      if (performance.now() > untilMs) throw error
      await sleep(200)
    }
  }
}

/** Standard output and error, trimmed: containers log to both. */
async function docker(...args: readonly string[]): Promise<string> {
  // The classic builder tells on standard error that it is the classic one.
  const { stdout, stderr } = await promisify(execFile)('docker', args, {
    maxBuffer: 64 * 1024 ** 2,
  })
  return (args[0] === 'logs' ? stdout + stderr : stdout).trim()
}
