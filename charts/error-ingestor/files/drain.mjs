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

let sums = await metrics()
for (let said = -1; sum('spool_events') !== 0; sums = await metrics()) {
  const left = sum('spool_events')
  if (left !== undefined && left !== said) console.log(`${left} events are left in the spool`)
  said = left
  await sleep(1_000)
}
drained = true
const outcomes = ['stored', 'dropped'].map((outcome) => `${sum(`events_total.*outcome="${outcome}"`) ?? 0} ${outcome}`)
console.log(`The spool is empty: every event on this claim is in ClickHouse (${outcomes.join(', ')} now; dropped are there already).`)
const aside = sum('undeliverable_events')
if (aside > 0) console.log(`ATTENTION: ${aside} events that ClickHouse refuses are kept aside on this claim.`)
server.kill('SIGTERM')
process.exitCode = (await ended) === 0 ? 0 : 1

// Undefined while it is still starting; the Job's deadline ends the wait.
function sum(pattern) {
  const wanted = new RegExp(`^error_ingestor_${pattern}\\W`)
  const found = sums.filter((line) => wanted.test(line)).map((line) => Number(line.split(' ').at(-1)))
  return found.length === 0 ? undefined : found.reduce((a, b) => a + b)
}

async function metrics() {
  try {
    const answer = await fetch(`http://localhost:${process.env.METRICS_PORT}/metrics`, {
      signal: AbortSignal.timeout(5_000),
    })
    return (await answer.text()).split('\n')
  } catch {
    return []
  }
}
