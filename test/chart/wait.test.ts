import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)

test('the schema Job asks over a new connection each time: the first may have found somebody else', async () => {
  // Who takes the first connection refuses for good, as what an address leads to before its Service is known.
  const server = createServer({ keepAliveTimeout: 60_000 })
  const connections: unknown[] = []
  server.on('connection', (socket) => connections.push(socket))
  server.on('request', (request, answer) => {
    answer.writeHead(connections.indexOf(request.socket) === 0 ? 404 : 200).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port is free.')
  try {
    const script = await readFile('charts/error-ingestor/files/wait.mjs', 'utf8')
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], {
      env: { CLICKHOUSE_HOST: `http://127.0.0.1:${address.port}` },
      timeout: 60_000,
    })
    expect(stdout).toMatch(/^waiting for ClickHouse at \S+ for 0 s: something there says 404\n/)
    expect(stdout).toMatch(/answers\n$/)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
