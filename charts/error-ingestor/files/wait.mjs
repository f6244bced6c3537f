// Waits until ClickHouse answers, so that the migration does not fail and restart meanwhile. The Job's deadline ends it.
import * as http from 'node:http'
import * as https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

const PATIENCE_MS = 2_000
const url = new URL('/ping', process.env.CLICKHOUSE_HOST)
for (let said = -30, problem; (problem = await ping()) !== undefined; await sleep(PATIENCE_MS)) {
  const seconds = Math.round(performance.now() / 1_000)
  if (seconds - said >= 15) {
    console.log(`waiting for ClickHouse at ${url.origin} for ${seconds} s: ${problem}`)
    said = seconds
  }
}
console.log(`ClickHouse at ${url.origin} answers`)

// Undefined when it answers. Each time over a connection of its own: before a node knows a new Service, its address may
// lead to somebody else, and a connection that is kept would go on asking there.
function ping() {
  return new Promise((resolve) => {
    const { get } = url.protocol === 'https:' ? https : http
    const asked = get(url, { agent: false, timeout: 5_000 }, (answer) => {
      answer.resume()
      resolve(answer.statusCode === 200 ? undefined : `something there says ${answer.statusCode}`)
    })
    asked.on('timeout', () => asked.destroy(new Error('no answer within 5 s')))
    asked.on('error', (error) => resolve(error.message || error.code))
  })
}
