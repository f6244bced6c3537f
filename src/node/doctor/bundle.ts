import { open, readFile, writeFile } from 'node:fs/promises'
import { availableParallelism, freemem, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { strToU8, zipSync } from 'fflate'
import type { Examined } from './doctor.ts'
import { scrubbedLog } from './masked.ts'
import { reportText } from './report.ts'

const LOG_BYTES_MAX = 1024 * 1024

/**
 * Writes a zip file for whoever helps: the report, the settings, the machine, `/metrics`, the
 * readiness, and the ends of logs. Secrets are out of all of them: by their values, and in logs by
 * their looks too. The file is for its owner alone.
 * @param logFile a log of the server, as `kubectl logs` writes it.
 * @throws the error of the file system.
 */
export async function writeBundle(
  file: string,
  { report, settings, running, dataDir, mask }: Examined,
  logFile: string | undefined,
): Promise<readonly string[]> {
  const parts: Record<string, string> = {
    'report.txt': reportText(report),
    'report.json': json(report),
    'settings.json': json(settings),
    'machine.json': json(machine()),
  }
  if (running !== undefined) {
    parts['metrics.txt'] = running.metrics
    parts['ready.json'] = running.ready.text
  }
  if (dataDir !== undefined) {
    const log = await tail(join(dataDir, 'clickhouse', 'engine.log')).catch(() => undefined) // There is none.
    if (log !== undefined) parts['engine.log'] = scrubbedLog(log)
  }
  if (logFile !== undefined) parts['server.log'] = scrubbedLog(await tail(logFile))
  const masked = Object.entries(parts).map(([name, text]) => [name, strToU8(mask(text))] as const)
  await writeFile(file, zipSync(Object.fromEntries(masked)), { mode: 0o600 })
  return Object.keys(parts)
}

const json = (value: object) => `${JSON.stringify(value, undefined, 2)}\n`

function machine(): object {
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch} ${release()}`,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    memoryFreeBytes: freemem(),
    memoryLimitBytes: process.constrainedMemory(),
  }
}

/** The last lines of a log that may be long. */
async function tail(file: string): Promise<string> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    if (size <= LOG_BYTES_MAX) return await readFile(file, 'utf8')
    const buffer = Buffer.alloc(LOG_BYTES_MAX)
    await handle.read(buffer, 0, LOG_BYTES_MAX, size - LOG_BYTES_MAX)
    const text = buffer.toString('utf8')
    return text.slice(text.indexOf('\n') + 1)
  } finally {
    await handle.close()
  }
}
