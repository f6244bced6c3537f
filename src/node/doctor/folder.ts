import { constants } from 'node:fs'
import { access, open, rm, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Config } from '../../config.ts'
import { findingsOf, type Finding } from '../../finding.ts'
import { isMissing } from '../spool-read.ts'
import { spoolState, type SpoolState } from '../spool-state.ts'
import { bytesText, errorText, since } from './words.ts'

const SYNCS = 20
const SYNC_BYTES = 4_096
const SYNCS_MS_MAX = 2_000
const SYNC_MS = { warning: 20, wrong: 500 } as const
/** With less the spool takes no more events: see its reserve. */
const FREE_BYTES_MIN = 64 * 1024 * 1024
const FULL_SHARE = { warning: 0.5, wrong: 0.9 } as const
const INODES_SHARE_MIN = 0.01
const WAITING_MS_MAX = 300_000

/** What `statfs` calls them, and why they are no place for a spool. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0x01021994: 'tmpfs, which is memory: what was accepted is gone after a restart of the machine',
  0x858458f6: 'ramfs, which is memory: what was accepted is gone after a restart of the machine',
  0x794c7630:
    'the layer of a container: what was accepted is gone with the container, unless a volume is mounted there',
  0x6969: 'NFS: its syncs are slow, and its locks depend on the server',
  0xff534d42: 'SMB: its syncs are slow, and its locks depend on the server',
  0xfe534d42: 'SMB: its syncs are slow, and its locks depend on the server',
}

/** Looks at the data folder and at the spool in it. Never rejects. */
export async function folderFindings(config: Config): Promise<readonly Finding[]> {
  const folder = resolve(config.dataDir)
  const first = await usable(folder)
  if (first.level === 'wrong') return [first]
  if (first.level === 'note') return [first, ...(await spaceFindings(folder, config, 0))]
  const found = [first]
  found.push(await syncSpeed(folder))
  const spool = join(folder, 'spool')
  try {
    const state = await spoolState(spool)
    found.push(...(await spaceFindings(folder, config, state.bytes)))
    found.push(await writable(spool), ...waitingFindings(state, config))
  } catch (error) {
    const { note, wrong } = findingsOf('spool-folder')
    found.push(...(await spaceFindings(folder, config, 0)))
    found.push(
      isMissing(error)
        ? note('There is no spool yet; the first start of the server makes it.')
        : wrong(`The spool cannot be read: ${errorText(error)}.`, ownerAdvice(spool)),
    )
  }
  return found
}

/** That the folder is there and can be written, or could be made. */
async function usable(folder: string): Promise<Finding> {
  const { ok, note, wrong } = findingsOf('folder-writable')
  try {
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK)
    return ok(`The folder ${folder} can be written.`)
  } catch (error) {
    if (!isMissing(error)) {
      return wrong(`The folder ${folder} cannot be used: ${errorText(error)}.`, ownerAdvice(folder))
    }
    const above = await nearest(dirname(folder))
    try {
      await access(above, constants.W_OK | constants.X_OK)
      return note(`There is no folder ${folder} yet; the first start of the server makes it.`)
    } catch {
      return wrong(`The folder ${folder} is missing, and cannot be made.`, ownerAdvice(above))
    }
  }
}

async function nearest(folder: string): Promise<string> {
  try {
    await access(folder)
    return folder
  } catch {
    // The root is always there.
    return nearest(dirname(folder))
  }
}

function ownerAdvice(folder: string): string {
  const { getuid } = process
  const who = getuid === undefined ? 'the user of the server' : `user ${getuid.call(process)}`
  return `Let ${who} read and write ${folder} (chown, or fsGroup in Kubernetes), or set DATA_DIR to another folder.`
}

async function writable(spool: string): Promise<Finding> {
  const { ok, wrong } = findingsOf('spool-writable')
  try {
    await access(spool, constants.R_OK | constants.W_OK | constants.X_OK)
    return ok('The spool can be written.')
  } catch (error) {
    return wrong(`The spool cannot be written: ${errorText(error)}.`, ownerAdvice(spool))
  }
}

/** Every answer to a client waits for one sync, and many may share it. */
async function syncSpeed(folder: string): Promise<Finding> {
  const { ok, warning, wrong } = findingsOf('folder-sync')
  const file = join(folder, `.doctor-${process.pid}`)
  const { O_WRONLY, O_CREAT, O_EXCL, O_DSYNC } = constants
  const took: number[] = []
  try {
    const handle = await open(file, O_WRONLY | O_CREAT | O_EXCL | O_DSYNC, 0o600)
    try {
      const begun = performance.now()
      for (let i = 0; i < SYNCS && performance.now() - begun < SYNCS_MS_MAX; i += 1) {
        const startedMs = performance.now()
        await handle.write(Buffer.alloc(SYNC_BYTES, 1), 0, SYNC_BYTES, i * SYNC_BYTES)
        took.push(performance.now() - startedMs)
      }
    } finally {
      await handle.close()
      await rm(file, { force: true })
    }
  } catch (error) {
    const text = `A file cannot be written and synced in ${folder}: ${errorText(error)}.`
    return wrong(text, 'Free the disk, or mount it writable.')
  }
  took.sort((a, b) => a - b)
  const middle = took[Math.floor(took.length / 2)] ?? 0
  const text = `A synced write takes ${middle.toFixed(1)} ms, at worst ${(took.at(-1) ?? 0).toFixed(1)} ms`
  const faster = 'Give the spool a faster disk: every answer to a client waits for one.'
  if (middle >= SYNC_MS.wrong) return wrong(`${text}.`, faster)
  if (middle >= SYNC_MS.warning) return warning(`${text}.`, faster)
  return ok(`${text}.`)
}

async function spaceFindings(folder: string, config: Config, used: number): Promise<Finding[]> {
  const { ok, warning, wrong } = findingsOf('folder-free')
  const { bavail, bsize, ffree, files, type } = await statfs(await nearest(folder))
  const free = bavail * bsize
  const still = Math.max(0, config.spool.bytesMax - used)
  const text = `The disk has ${bytesText(free)} free; the spool may take ${bytesText(still)} more`
  const make = 'Give it a larger disk, or lower SPOOL_BYTES_MAX.'
  const found = [
    free < FREE_BYTES_MIN
      ? wrong(`${text}: events are refused soon.`, make)
      : free < still
        ? warning(`${text}, so the disk would be full before the spool.`, make)
        : ok(`${text}.`),
  ]
  if (files > 0 && ffree / files < INODES_SHARE_MIN) {
    const inodes = findingsOf('folder-inodes')
    found.push(inodes.warning(`The disk has only ${ffree} inodes left.`, 'Remove small files.'))
  }
  const kind = FILE_SYSTEMS[type]
  if (kind !== undefined) {
    const text = `The folder ${folder} lies on ${kind}.`
    const move = 'Put DATA_DIR on a local disk, in Kubernetes on a PersistentVolume.'
    found.push(findingsOf('folder-kind').warning(text, move))
  }
  return found
}

/** Of a spool that could be read. */
function waitingFindings(state: SpoolState, config: Config): Finding[] {
  const { inUse, events, oldest, bytes, damagedEvents, undeliverable } = state
  const owner = findingsOf('spool-owner')
  return [
    inUse
      ? owner.ok('A running server owns the spool.')
      : events > 0
        ? owner.warning('Events wait, and no server owns the spool.', 'Start the server.')
        : owner.note('No server owns the spool: it is not running, or has another DATA_DIR.'),
    waitingFinding(events, oldest === null ? 0 : Date.now() - Date.parse(oldest)),
    ...fullness(bytes, config),
    ...(damagedEvents > 0
      ? [
          findingsOf('spool-damaged').warning(
            `${damagedEvents} events could not be read back from the disk, over the life of the folder.`,
            'Look for errors of the disk (dmesg) and run `error-ingestor spool verify`; docs/spool.md has more.',
          ),
        ]
      : []),
    ...(undeliverable > 0
      ? [
          findingsOf('spool-undeliverable').warning(
            `${undeliverable} events were refused by ClickHouse for their content and are kept aside.`,
            'Look with `error-ingestor spool undeliverable list`; then `retry` or `drop` them.',
          ),
        ]
      : []),
  ]
}

function waitingFinding(events: number, ageMs: number): Finding {
  const { ok, warning } = findingsOf('spool-waiting')
  if (events === 0) return ok('Nothing waits to be delivered.')
  const text = `${events.toLocaleString('en')} events wait to be delivered, for up to ${since(ageMs)}.`
  if (ageMs < WAITING_MS_MAX) return ok(text)
  return warning(text, 'See what is said of ClickHouse here, and the log of the server.')
}

function fullness(bytes: number, { spool }: Config): Finding[] {
  const { warning, wrong } = findingsOf('spool-full')
  const share = bytes / spool.bytesMax
  if (share < FULL_SHARE.warning) return []
  const text = `The spool is ${Math.round(share * 100)} % full (SPOOL_BYTES_MAX)`
  const make = 'Bring ClickHouse back, or raise SPOOL_BYTES_MAX where the disk has room.'
  return [
    share < FULL_SHARE.wrong
      ? warning(`${text}.`, make)
      : wrong(`${text}: then events are refused.`, make),
  ]
}
