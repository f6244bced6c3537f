import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { startEmbedded } from '../../src/node/embedded.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** A ClickHouse server for the whole run; each test file makes a database of its own there. */
    clickhouseUrl: string
  }
}

/** Vitest's globalSetup: one embedded ClickHouse per run, in a folder that goes with it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'error-ingestor-test-'))
  const engine = await startEmbedded({ dataDir, say: (level, text) => console.log(level, text) })
  project.provide('clickhouseUrl', engine.url)
  return async () => {
    await engine.close()
    await rm(dataDir, { recursive: true, force: true })
  }
}
