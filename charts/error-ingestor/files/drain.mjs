// Runs the server over a claim whose pod is gone until the spool is empty, then ends it in order.
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

const server = spawn(process.execPath, ['/app/dist/main.js', 'serve'], { stdio: 'inherit' })
process.on('SIGTERM', () => server.kill('SIGTERM'))
const ended = new Promise((resolve) => server.once('exit', (code, signal) => resolve(code ?? signal)))
let drained = false
void ended.then((how) => {
  if (drained && how === 0) return
  console.error(`The server ended (${how}) before the spool was empty.`)
  process.exit(1)
})

for (let said = -1; ; await sleep(1_000)) {
  const left = await value('error_ingestor_spool_events')
  if (left === 0) break
  if (left !== undefined && left !== said) console.log(`${left} events are left in the spool`)
  said = left
}
drained = true
console.log('The spool is empty: every event on this claim is in ClickHouse.')
const aside = await value('error_ingestor_undeliverable_events')
if (aside > 0) console.log(`ATTENTION: ${aside} events that ClickHouse refuses are kept aside on this claim.`)
server.kill('SIGTERM')
process.exitCode = (await ended) === 0 ? 0 : 1

async function value(name) {
  try {
    const answer = await fetch(`http://localhost:${process.env.METRICS_PORT}/metrics`, {
      signal: AbortSignal.timeout(5_000),
    })
    const line = (await answer.text()).split('\n').find((l) => l.startsWith(`${name} `))
    return line === undefined ? undefined : Number(line.split(' ')[1])
  } catch {
    return undefined // It is still starting; the Job's deadline ends the wait.
  }
}
