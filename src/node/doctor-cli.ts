import { parseArgs } from 'node:util'
import { writeBundle } from './doctor/bundle.ts'
import { examine } from './doctor/doctor.ts'
import { reportText, worstOf } from './doctor/report.ts'
import { UsageError, type SpoolIo } from './spool-io.ts'
import { printableJson } from './terminal.ts'

const HELP = `error-ingestor doctor looks at everything the server stands on, and says what to do.

Usage: error-ingestor doctor [--json] [--bundle FILE [--logs FILE]]

  --json           For programs: one JSON object, {"version", "at", "findings": [{"check", "level",
                   "text", "advice"}]}. The names of checks stay what they are.
  --bundle FILE    Write a zip file for whoever helps you, too: the report, the settings, the machine,
                   /metrics and the readiness of the running server, the log of the embedded
                   ClickHouse. Secrets are taken out of it; look into it before you send it all the same.
  --logs FILE      Put the end of this log of the server into the bundle.

It checks the settings; the data folder (rights, space, how fast a synced write is); the spool (owner,
what waits, damage); ClickHouse (version, clock, settings, the rights of each user, disk, parts, replicas,
failing work); the schema; apps and keys; and whether what is configured can be reached. It works
beside a running server and without one, and changes nothing. It takes the settings of its own
environment: run it where the server runs.

  ok: as it should be · note: good to know · WARN: will hurt some day · WRONG: events are refused, wait,
  or nobody can look at them

Exit codes: 0 nothing is wrong, 1 something is, 2 not understood.

  error-ingestor doctor
  error-ingestor doctor --json | jq '.findings[] | select(.level == "wrong")'
  kubectl exec errors-0 -- node /app/dist/main.js doctor
  kubectl logs errors-0 > server.log && error-ingestor doctor --bundle help.zip --logs server.log
`

/** What the command writes to, and where the settings are. */
export interface DoctorIo extends Pick<SpoolIo, 'out'> {
  readonly environment: () => NodeJS.ProcessEnv
}

/**
 * Runs `error-ingestor doctor …`.
 * @returns the exit code: 0 nothing is wrong, 1 something is.
 * @throws UsageError; any other error is a sentence for a person.
 */
export async function doctorCommand(args: readonly string[], io: DoctorIo): Promise<number> {
  const flag = { type: 'boolean', default: false } as const
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { json: flag, help: flag, bundle: { type: 'string' }, logs: { type: 'string' } },
    allowPositionals: true,
  })
  if (values.help) {
    await io.out(HELP)
    return 0
  }
  const { json, bundle, logs } = values
  if (positionals.length > 0) {
    throw new UsageError(`doctor takes no argument (${positionals.join(' ')}).`)
  }
  if (bundle === '') throw new UsageError('--bundle takes the name of a file.')
  if (logs !== undefined && bundle === undefined) {
    throw new UsageError('--logs belongs to --bundle.')
  }
  const examined = await examine(io.environment())
  const { report } = examined
  await io.out(json ? `${printableJson(report, 2)}\n` : reportText(report))
  if (bundle !== undefined) {
    const names = await writeBundle(bundle, examined, logs)
    if (!json) await io.out(`Written to ${bundle}: ${names.join(', ')}.\n`)
  }
  return worstOf(report.findings) === 'wrong' ? 1 : 0
}
