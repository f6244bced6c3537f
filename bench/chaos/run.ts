// Kills, hangs, fills, damages, and compares what was acknowledged with what is stored.
// Budget: 0 lost, 0 double; --quick is done in two minutes.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Destroyed } from './damage.ts'
import { createEvents } from './events.ts'
import {
  CLICKHOUSE_FAULTS,
  OUTSIDE_FAULTS,
  draw,
  SERVER_FAULTS,
  SERVER_FAULTS_ON_SOUND_DISKS,
  type Target,
} from './faults.ts'
import { startLoad } from './load.ts'
import { seeded } from './random.ts'
import { reconcile } from './reconcile.ts'
import { isGood, textOf, writeDocs, type Report } from './report.ts'
import { drained, mountSmallDisk, openWorld, type Server, type World } from './world.ts'

const HELP = `npm run chaos -- [--faults 200] [--events 1000000] [--seed N] [--quick] [--sound] [--write] [--keep]
  --quick   40 faults and 100,000 events, in about a minute and a half
  --sound   no spoilt segment files: a broken disk that meets a killed ClickHouse may cost a double
  --write   puts the result into docs/reliability.md
  --keep    leaves the folder with all logs
  --clickhouse URL [--cluster NAME [--hosts URL,URL]] [--hurt 'COMMAND']
            a ClickHouse that runs elsewhere, its login in the URL, with no database chaos yet; COMMAND
            kills one of its servers, and is run where an embedded one would be killed
`
const RUN_MS_MAX = 900_000

const { values: asked } = parseArgs({
  options: {
    faults: { type: 'string' },
    events: { type: 'string' },
    seed: { type: 'string' },
    quick: { type: 'boolean', default: false },
    sound: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    clickhouse: { type: 'string' },
    cluster: { type: 'string' },
    hosts: { type: 'string' },
    hurt: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
if (asked.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
const serverFaults = asked.sound ? SERVER_FAULTS_ON_SOUND_DISKS : SERVER_FAULTS
const storeFaults = asked.clickhouse === undefined ? CLICKHOUSE_FAULTS : OUTSIDE_FAULTS
const seed = Number(asked.seed ?? Math.floor(Math.random() * 1_000_000))
const faults = Number(asked.faults ?? (asked.quick ? 40 : 200))
const wanted = Number(asked.events ?? (asked.quick ? 100_000 : 1_000_000))
process.stdout.write(`chaos: seed ${seed}, ${faults} faults, ${wanted} events\n`)

const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-chaos-'))
const skipped: string[] = []
const smallDisk = mountSmallDisk(folder)
if (smallDisk === undefined) {
  skipped.push('no file system can be mounted here: a full disk is writes that fail instead')
}
let world: World | undefined
let good = false
try {
  world = await openWorld({ folder, smallDisk, ...elsewhere() })
  const report = await run(world)
  process.stdout.write(textOf(report))
  good = isGood(report)
  if (asked.write) writeDocs(report)
} finally {
  await world?.close()
  if (smallDisk !== undefined) {
    if (!good) cpSync(smallDisk, join(folder, 'b'), { recursive: true })
    execFileSync('umount', [smallDisk])
  }
  if (good && !asked.keep) rmSync(folder, { recursive: true, force: true })
  else process.stdout.write(`chaos: logs and data are in ${folder}\n`)
}
process.exit(good ? 0 : 1)

function elsewhere() {
  const { clickhouse: url, cluster, hosts, hurt } = asked
  if (url === undefined) return {}
  const settings = {
    ...(cluster !== undefined && { CLICKHOUSE_CLUSTER: cluster }),
    ...(hosts !== undefined && { CLICKHOUSE_CLUSTER_HOSTS: hosts }),
  }
  return { outside: { url, hurt }, settings }
}

async function run(world: World): Promise<Report> {
  const startedMs = performance.now()
  const events = createEvents(seed, Date.now())
  const stopLoad = new AbortController()
  const load = startLoad(
    world,
    events,
    { seed, perSecond: 12_000, enough: wanted * 1.02, capacity: wanted * 4 },
    stopLoad.signal,
  )
  const destroyed = new Map<Server, Destroyed>(world.servers.map((server) => [server, new Map()]))
  const done = new Map<string, number>()
  let left = faults
  const base = { world, folder, hasSmallDisk: smallDisk !== undefined }
  const lanes = [...world.servers, undefined].map(async (server) => {
    const random = seeded(seed, `faults of ${server?.name ?? 'ClickHouse'}`)
    const target: Target = {
      ...{ ...base, random, server: server ?? world.servers[0] },
      destroyed: destroyed.get(server ?? world.servers[0]) ?? new Map<number, string>(),
    }
    while (left > 0 && performance.now() - startedMs < RUN_MS_MAX) {
      left -= 1
      const fault = draw(server === undefined ? storeFaults : serverFaults, random)
      await fault.run(target)
      done.set(fault.name, (done.get(fault.name) ?? 0) + 1)
      await sleep(random.whole(200, server === undefined ? 6_000 : 2_500))
    }
  })
  const progress = setInterval(() => {
    process.stderr.write(
      `${Math.round((performance.now() - startedMs) / 1_000)} s: ${faults - left} faults, ${load.ledger.acknowledged()} events\n`,
    )
  }, 15_000)
  await Promise.all(lanes)
  while (load.ledger.acknowledged() < wanted && performance.now() - startedMs < RUN_MS_MAX) {
    await sleep(100)
  }
  stopLoad.abort()
  await load.done
  clearInterval(progress)
  const seconds = (performance.now() - startedMs) / 1_000
  const drainSeconds = await drained(world)
  const findings = await reconcile({ world, ledger: load.ledger, events, destroyed })
  const { resends, statuses } = load.ledger
  return {
    ...{ seed, seconds, drainSeconds, faults: done, findings, resends: resends(), statuses },
    ...{ skipped, violations: world.violations },
  }
}
