// Waits until ClickHouse answers, so that the migration does not fail and restart meanwhile. The Job's deadline ends it.
import { setTimeout as sleep } from 'node:timers/promises'

const PATIENCE_MS = 2_000
const url = new URL('/ping', process.env.CLICKHOUSE_HOST)
for (let seconds = 0, said = -30; ; seconds = Math.round(performance.now() / 1_000)) {
  let problem
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) })
    if (answer.ok) break
    problem = `it says ${answer.status}`
  } catch (error) {
    problem = error.cause?.message || error.cause?.code || error.message
  }
  if (seconds - said >= 15) {
    console.log(`waiting for ClickHouse at ${url.origin} for ${seconds} s: ${problem}`)
    said = seconds
  }
  await sleep(PATIENCE_MS)
}
console.log(`ClickHouse at ${url.origin} answers`)
