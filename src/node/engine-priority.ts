import { readdir, readFile } from 'node:fs/promises'
import { getPriority, setPriority } from 'node:os'

/** How ClickHouse calls the threads of its pool for merges; they live as long as it does. */
const MERGES = 'MergeMutate'
/** On a core that something else wants too a merge gets about a tenth of it. */
const NICER_BY = 10
const NICE_MAX = 19

/**
 * Lets merges of the engine with this process id give way to questions and inserts. Its own setting for that
 * needs a capability of the system that few processes have; to lower a priority takes none. Only Linux
 * gives threads priorities of their own.
 * @returns how many threads that were: none before its first table.
 * @throws Error where the system refuses, or the engine has ended.
 */
export async function letMergesGiveWay(pid: number): Promise<number> {
  const threads = `/proc/${String(pid)}/task`
  const nice = Math.min(getPriority() + NICER_BY, NICE_MAX)
  let found = 0
  for (const thread of await readdir(threads)) {
    const name = await readFile(`${threads}/${thread}/comm`, 'utf8').catch(hasEnded)
    if (name.trim() !== MERGES) continue
    setPriority(Number(thread), nice)
    found += 1
  }
  return found
}

/** Others than merges come and go. */
const hasEnded = () => ''
