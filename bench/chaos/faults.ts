import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { spoil, type Destroyed } from './damage.ts'
import type { Random } from './random.ts'
import { endOf, type Server, type World } from './world.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** The grace time of a stop, twice (requests, delivery), and some for the rest. */
const STOP_MS_MAX = 15_000

/** What a fault may touch. */
export interface Target {
  readonly world: World
  readonly server: Server
  readonly random: Random
  readonly folder: string
  readonly destroyed: Destroyed
  readonly hasSmallDisk: boolean
}

interface Fault {
  readonly name: string
  /** How often it is drawn, against the others. */
  readonly weight: number
  readonly run: (target: Target) => Promise<void>
}

/** What happens to a server; it stands again at the end of each. */
export const SERVER_FAULTS: readonly [Fault, ...Fault[]] = [
  { name: 'server: kill -9', weight: 10, run: (target) => dies(target, 0) },
  { name: 'server: kill -9 again while it replays', weight: 8, run: diesInReplay },
  { name: 'server: SIGTERM', weight: 5, run: stops },
  { name: 'server: SIGTERM, then kill -9 while it stops', weight: 8, run: diesInStop },
  { name: 'server: SIGTERM twice', weight: 3, run: stopsAtOnce },
  { name: 'server: SIGSTOP for longer than its clients wait', weight: 3, run: hangs },
  { name: 'server and ClickHouse: kill -9 of both', weight: 4, run: bothDie },
  { name: 'disk full', weight: 5, run: diskFull },
  { name: 'disk full: kill -9 and a start on it', weight: 4, run: diesOnFullDisk },
  { name: 'disk slow: up to 300 ms more for each write', weight: 3, run: slowDisk },
  { name: 'disk errors: EIO for some or all writes', weight: 4, run: diskErrors },
  { name: 'clock jumps', weight: 4, run: clockJumps },
  { name: 'segment: a bit flipped', weight: 4, run: (target) => damaged(target, 'flip') },
  { name: 'segment: cut off', weight: 4, run: (target) => damaged(target, 'cut') },
  { name: 'a second process on the folder', weight: 1, run: secondOwner },
]

const [first, ...others] = SERVER_FAULTS

/** The same without spoilt segment files: what then happens to events is promised without exception. */
export const SERVER_FAULTS_ON_SOUND_DISKS: readonly [Fault, ...Fault[]] = [
  first,
  ...others.filter(({ name }) => !name.startsWith('segment: ')),
]

/** What happens to ClickHouse. */
export const CLICKHOUSE_FAULTS: readonly [Fault, ...Fault[]] = [
  { name: 'ClickHouse: kill -9', weight: 6, run: clickhouseDies },
  { name: 'ClickHouse: SIGSTOP for longer than the time-outs', weight: 3, run: clickhouseHangs },
  { name: 'ClickHouse: kill -9 twice, the second time while it starts', weight: 2, run: diesAgain },
]

/** One of the list, those of more weight more often. */
export function draw<T extends { readonly weight: number }>(
  list: readonly [T, ...T[]],
  random: Random,
): T {
  let at = random.next() * list.reduce((sum, { weight }) => sum + weight, 0)
  for (const each of list) {
    at -= each.weight
    if (at < 0) return each
  }
  return list[0]
}

async function back(server: Server): Promise<void> {
  await server.ended()
  server.start()
  await server.answers()
}

async function dies({ server, random }: Target, awayMs: number): Promise<void> {
  server.signal('SIGKILL')
  await server.ended()
  await sleep(awayMs + random.whole(0, 500))
  await back(server)
}

async function diesInReplay(target: Target): Promise<void> {
  const { server, random, world } = target
  // With a backlog there is something to replay.
  world.hold()
  await sleep(random.whole(300, 1_500))
  server.signal('SIGKILL')
  world.release()
  for (let times = random.whole(1, 3); times > 0; times -= 1) {
    await server.ended()
    server.start()
    await sleep(random.whole(150, 1_200))
    server.signal('SIGKILL')
  }
  await back(server)
}

async function stops({ server, world }: Target): Promise<void> {
  const startedMs = performance.now()
  server.signal('SIGTERM')
  const { code, by } = await server.ended()
  const tookMs = performance.now() - startedMs
  if (code !== 0) world.violations.push(`a stop ended with ${code ?? by ?? 'nothing'}`)
  if (tookMs > STOP_MS_MAX) world.violations.push(`a stop took ${Math.round(tookMs)} ms`)
  await back(server)
}

async function diesInStop({ server, random }: Target): Promise<void> {
  server.signal('SIGTERM')
  await sleep(random.whole(0, 600))
  server.signal('SIGKILL')
  await back(server)
}

async function stopsAtOnce({ server, random }: Target): Promise<void> {
  server.signal('SIGTERM')
  await sleep(random.whole(0, 300))
  server.signal('SIGTERM')
  await back(server)
}

async function hangs({ server, random }: Target): Promise<void> {
  server.signal('SIGSTOP')
  await sleep(random.whole(2_000, 9_000))
  server.signal('SIGCONT')
  await server.answers()
}

async function bothDie(target: Target): Promise<void> {
  await target.world.hurt()
  const pid = target.world.engine.pid()
  if (pid !== undefined) process.kill(pid, 'SIGKILL')
  await dies(target, 0)
}

/** On its own small file system all room is taken; elsewhere every write fails as if it were. */
async function diskFull(target: Target): Promise<void> {
  const { server, random } = target
  if (isOnSmallDisk(target)) {
    await filled(target, () => sleep(random.whole(500, 3_000)))
    return
  }
  server.control({ failShare: 1 })
  await sleep(random.whole(300, 1_500))
  server.control({ failShare: 0 })
}

/** What then accepts and delivers has the room that it kept for itself, or none. */
async function diesOnFullDisk(target: Target): Promise<void> {
  const { server, random } = target
  if (!isOnSmallDisk(target)) {
    await dies(target, 0)
    return
  }
  await filled(target, async () => {
    await sleep(random.whole(200, 1_000))
    server.signal('SIGKILL')
    await back(server)
    await sleep(random.whole(1_500, 4_000))
  })
}

const isOnSmallDisk = ({ hasSmallDisk, server }: Target) => hasSmallDisk && server.name === 'b'

/** Takes all room of a server's disk while `during` lasts, and what is freed meanwhile again. */
async function filled({ server, world }: Target, during: () => Promise<void>): Promise<void> {
  const ballast = join(server.dataDir, 'ballast')
  const file = openSync(ballast, 'w')
  const block = Buffer.alloc(256 * 1024, 1)
  const over = new AbortController()
  const fill = async () => {
    while (!over.signal.aborted) {
      try {
        writeSync(file, block)
      } catch {
        // Full: what delivery frees is taken again.
        await sleep(20)
      }
    }
  }
  const filling = fill()
  try {
    await during()
  } finally {
    over.abort()
    await filling
    closeSync(file)
    rmSync(ballast)
  }
  const { bavail, bsize } = statfsSync(server.dataDir)
  if (bavail * bsize === 0) world.violations.push('the small disk stayed full')
}

async function slowDisk({ server, random }: Target): Promise<void> {
  server.control({ slowMs: 300 })
  await sleep(random.whole(1_000, 3_000))
  server.control({ slowMs: 0 })
}

async function diskErrors({ server, random }: Target): Promise<void> {
  server.control({ failShare: random.pick([0.05, 0.3, 1]) })
  await sleep(random.whole(500, 2_500))
  server.control({ failShare: 0 })
}

async function clockJumps({ server, random }: Target): Promise<void> {
  const jumps = [-24 * HOUR_MS, -HOUR_MS, -MINUTE_MS, MINUTE_MS, HOUR_MS, 48 * HOUR_MS] as const
  server.control({ clockOffsetMs: random.pick([...jumps]) })
  await sleep(random.whole(1_000, 4_000))
  server.control({ clockOffsetMs: 0 })
}

async function damaged(target: Target, how: 'flip' | 'cut'): Promise<void> {
  const { server, random, world, folder, destroyed } = target
  world.hold()
  try {
    await sleep(random.whole(500, 2_000))
    server.signal('SIGKILL')
    await server.ended()
    await spoil(server.spoolDir, join(folder, `${server.name}.kept`), how, random, destroyed)
    server.start()
    await sleep(random.whole(0, 1_000))
  } finally {
    world.release()
  }
  await server.answers()
}

async function secondOwner({ server, world }: Target): Promise<void> {
  const startedMs = performance.now()
  const { code } = await endOf(server.second())
  const seconds = (performance.now() - startedMs) / 1_000
  if (code !== 1 || seconds < 9 || seconds > 25) {
    world.violations.push(`a second process ended with ${code ?? 'a signal'} after ${seconds} s`)
  }
}

async function clickhouseDies({ world }: Target): Promise<void> {
  await world.hurt()
  const pid = world.engine.pid()
  if (pid !== undefined) process.kill(pid, 'SIGKILL')
  await clickhouseAnswers(world)
}

/** What can be done to a ClickHouse that runs elsewhere. */
export const OUTSIDE_FAULTS: readonly [Fault, ...Fault[]] = [
  { name: 'ClickHouse: one of its servers is hurt', weight: 1, run: clickhouseDies },
]

async function diesAgain(target: Target): Promise<void> {
  const { world, random } = target
  await clickhouseDies(target)
  await sleep(random.whole(0, 500))
  await clickhouseDies(target)
  await clickhouseAnswers(world)
}

async function clickhouseHangs({ world, random }: Target): Promise<void> {
  world.hold()
  await sleep(random.whole(2_500, 6_000))
  world.release()
}

/** Resolves once it answers, or after some time in which others may hold it. */
async function clickhouseAnswers({ engine }: World): Promise<void> {
  const untilMs = performance.now() + 30_000
  while (performance.now() < untilMs) {
    try {
      if ((await fetch(`${engine.url}/ping`, { signal: AbortSignal.timeout(2_000) })).ok) return
    } catch {
      // Not yet.
    }
    await sleep(50)
  }
}
