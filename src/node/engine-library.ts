import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** What decides which engine fits. */
export interface Platform {
  readonly os: string
  readonly arch: string
  /** False on musl (Alpine), whose libc cannot load the engine. */
  readonly glibc: boolean
  /** Full path of a module's file; throws where it is not installed. */
  readonly resolve: (specifier: string) => string
}

// The package names follow npm's: musl and Windows have none.
const PACKAGES: Readonly<Record<string, string>> = {
  'linux-x64': '@chdb/lib-linux-x64-gnu',
  'linux-arm64': '@chdb/lib-linux-arm64-gnu',
  'darwin-x64': '@chdb/lib-darwin-x64',
  'darwin-arm64': '@chdb/lib-darwin-arm64',
}

const BESIDE = `Run ClickHouse beside the server instead:
  docker run -d --name clickhouse -p 127.0.0.1:8123:8123 -e CLICKHOUSE_SKIP_USER_SETUP=1 clickhouse/clickhouse-server
and start with CLICKHOUSE_HOST=http://localhost:8123`

/** There is no engine to start here; `message` says what to do instead. */
export class NoEngineError extends Error {
  override readonly name = 'NoEngineError'
}

/** The platform of this process. */
export function thisPlatform(): Platform {
  return {
    os: process.platform,
    arch: process.arch,
    glibc: process.platform !== 'linux' || isGlibc(),
    resolve: createRequire(import.meta.url).resolve,
  }
}

/**
 * Full path of the ClickHouse library that fits the platform.
 * @throws NoEngineError saying how to add it, or how to run ClickHouse beside the server.
 */
export function findEngineLibrary(platform: Platform): string {
  const name = PACKAGES[`${platform.os}-${platform.arch}`]
  if (name === undefined || !platform.glibc) {
    const libc = platform.os === 'linux' && !platform.glibc ? ' with musl' : ''
    throw new NoEngineError(
      `There is no embedded ClickHouse for ${platform.os} on ${platform.arch}${libc}.\n${BESIDE}`,
    )
  }
  for (const needed of [name, 'ffi-rs']) {
    if (!isInstalled(platform, needed)) {
      throw new NoEngineError(
        `The embedded ClickHouse is not installed (${needed} is missing). Add it:\n  npm install --no-save ${name} ffi-rs\n${BESIDE}`,
      )
    }
  }
  const folder = dirname(platform.resolve(`${name}/package.json`))
  const library = ['libchdb.so', 'libchdb.dylib'].map((file) => join(folder, file)).find(existsSync)
  if (library === undefined) throw new NoEngineError(`${folder} holds no libchdb.\n${BESIDE}`)
  return library
}

function isInstalled(platform: Platform, name: string): boolean {
  try {
    platform.resolve(`${name}/package.json`)
    return true
  } catch {
    // Node says so by throwing; there is no question that only answers.
    return false
  }
}

function isGlibc(): boolean {
  // Without this the report resolves the names of all open sockets.
  Reflect.set(process.report, 'excludeNetwork', true)
  const report: unknown = process.report.getReport()
  if (typeof report !== 'object' || report === null || !('header' in report)) return false
  const { header } = report
  return typeof header === 'object' && header !== null && 'glibcVersionRuntime' in header
}
