import { once } from 'node:events'
import { Agent, type IncomingMessage, request as httpRequest } from 'node:http'
import { connect, createServer } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { serve, type Fetch, type Listening } from '../../src/node/serve.ts'

const open: Listening[] = []
const bugs: unknown[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((listening) => listening.close(0)))
  bugs.length = 0
})

const read: Fetch = async (request) => new Response(String((await request.bytes()).length))
async function listening(
  fetch: Fetch,
  options: { timeoutMs?: number; port?: number; connectionsMax?: number; stallMs?: number } = {},
) {
  const server = await serve(fetch, {
    host: '127.0.0.1',
    port: 0,
    timeoutMs: 5_000,
    ...options,
    bug: (error) => bugs.push(error),
  })
  open.push(server)
  return server
}

/** Sends bytes as they are and resolves with all that comes back, once the server closes. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk))
  socket.on('error', () => undefined)
  socket.write(text)
  await once(socket, 'close')
  return answer
}

test('answers requests with bodies', async () => {
  const { url } = await listening(read)
  expect(await (await fetch(url, { method: 'POST', body: 'x'.repeat(100_000) })).text()).toBe(
    '100000',
  )
})

test('a request whose headers do not arrive in time gets 408 and is closed', async () => {
  const { port } = await listening(read, { timeoutMs: 200 })
  const answer = await raw(port, 'POST / HTTP/1.1\r\nHost: a\r\n')
  expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  expect(answer).toMatch(/X-Error-Code: timeout\r\n/)
  expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toEqual({
    success: false,
    error: 'The request did not arrive completely in time.',
  })
})

test('a request whose body does not arrive in time gets 408, is closed, and ends for the app', async () => {
  let ended: unknown
  const { port } = await listening(
    async (request) => {
      ended = await request.bytes().catch((error: unknown) => error)
      return new Response('late')
    },
    { timeoutMs: 200 },
  )
  const answer = await raw(port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc')
  expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  await vi.waitUntil(() => ended !== undefined)
  expect(ended).toBeInstanceOf(Error)
})

test('a request that arrives in time may take longer to answer', async () => {
  const { url } = await listening(
    async (request) => {
      await request.bytes()
      await new Promise((later) => setTimeout(later, 700))
      return new Response('done')
    },
    { timeoutMs: 200 },
  )
  expect(await (await fetch(url, { method: 'POST', body: 'x' })).text()).toBe('done')
})

test('headers of 15 KiB are taken, of 17 KiB are answered with 431', async () => {
  const { port } = await listening(() => new Response('fine'))
  const request = (bytes: number) =>
    `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Long: ${'x'.repeat(bytes)}\r\n\r\n`
  expect(await raw(port, request(15 * 1024))).toMatch(/^HTTP\/1\.1 200 /)
  expect(await raw(port, request(17 * 1024))).toMatch(/^HTTP\/1\.1 431 .*X-Error-Code: too_large/s)
})

test('connections up to the limit are served, one more is closed at once and counted', async () => {
  const server = await listening(() => new Response('fine'), { connectionsMax: 3 })
  const held = await Promise.all(
    [1, 2, 3].map(async () => {
      const socket = connect(server.port, '127.0.0.1')
      await once(socket, 'connect')
      return socket
    }),
  )
  await vi.waitUntil(() => server.connections().open === 3)
  expect(await raw(server.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('')
  expect(server.connections()).toEqual({ open: 3, refused: 1 })
  held[0]?.destroy()
  await vi.waitUntil(() => server.connections().open === 2)
  expect(await (await fetch(server.url)).text()).toBe('fine')
  held.forEach((socket) => socket.destroy())
})

test('a reader that stands still is cut, one that only waits for its answer is not', async () => {
  const { port, url, connections } = await listening(
    async (request) => {
      if (request.url.endsWith('/slow')) {
        await new Promise((later) => setTimeout(later, 300))
        return new Response('done')
      }
      return new Response('x'.repeat(64 * 1024 * 1024))
    },
    { stallMs: 1_000 },
  )
  const socket = connect(port, '127.0.0.1').pause()
  socket.on('error', () => undefined)
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  expect(await (await fetch(`${url}/slow`)).text()).toBe('done')
  await vi.waitUntil(() => connections().open <= 1, { timeout: 10_000 })
  socket.destroy()
})

test('what is not HTTP, and what cannot be a URL, gets 400', async () => {
  const { port } = await listening(() => new Response('fine'))
  expect(await raw(port, 'hello\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 .*X-Error-Code: malformed/s)
  const strange = 'GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n'
  expect(await raw(port, strange)).toMatch(/^HTTP\/1\.1 400 .*X-Error-Code: malformed/is)
  expect(bugs).toEqual([])
})

test('what the app throws is a bug: told once, and a 500 that says nothing', async () => {
  const { url } = await listening(() => Promise.reject(new Error('secret')))
  const answer = await fetch(url)
  expect(answer.status).toBe(500)
  expect(await answer.text()).not.toContain('secret')
  expect(bugs).toHaveLength(1)
})

test('a taken port is said in a sentence that names the setting', async () => {
  const { port } = await listening(read)
  await expect(listening(read, { port })).rejects.toThrow(
    `Port ${port} is in use by another program: stop that, or set PORT to another port.`,
  )
})

test('once it retires each answer is the last of its connection, and new ones are still taken', async () => {
  const { url, retire } = await listening(read)
  expect((await fetch(url)).headers.get('connection')).toBe('keep-alive')
  retire()
  const answers = await Promise.all([fetch(url), fetch(url)])
  expect(answers.map(({ status, headers }) => [status, headers.get('connection')])).toEqual([
    [200, 'close'],
    [200, 'close'],
  ])
})

test('closing lets an open request finish, takes no new one, and closes idle connections', async () => {
  const gate = Promise.withResolvers<undefined>()
  const begun = Promise.withResolvers<undefined>()
  const server = await listening(async (request) => {
    if (request.url.endsWith('/slow')) {
      begun.resolve(undefined)
      await gate.promise
    }
    return new Response('done')
  })
  const agent = new Agent({ keepAlive: true })
  const get = async (path: string) => {
    const asked = httpRequest(server.url + path, { agent }).end()
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    asked.once('response', resolve).once('error', reject)
    return (await (await promise).toArray()).join('')
  }
  await get('/idle')
  const slow = get('/slow')
  await begun.promise
  let closed = false
  const closing = server.close(10_000).then(() => (closed = true))
  await vi.waitUntil(() =>
    get('/new').then(
      () => false,
      () => true,
    ),
  )
  expect(closed).toBe(false)
  gate.resolve(undefined)
  expect(await slow).toBe('done')
  const startedMs = performance.now()
  await closing
  expect(performance.now() - startedMs).toBeLessThan(1_000)
  agent.destroy()
})

test('closing cuts what is not done within the grace time', async () => {
  const begun = Promise.withResolvers<undefined>()
  const server = await listening(() => {
    begun.resolve(undefined)
    return new Promise<Response>(() => undefined)
  })
  const asked = fetch(server.url).catch((error: unknown) => error)
  await begun.promise
  const startedMs = performance.now()
  await server.close(200)
  expect(performance.now() - startedMs).toBeLessThan(2_000)
  expect(await asked).toBeInstanceOf(Error)
})

test('`::` also serves IPv4', async () => {
  const server = await serve(() => new Response('fine'), {
    host: '::',
    port: 0,
    timeoutMs: 1_000,
    bug: () => undefined,
  })
  open.push(server)
  expect(await (await fetch(`http://127.0.0.1:${server.port}`)).text()).toBe('fine')
})

test('a port held by a server that is not ours is told as well', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const address = other.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  await expect(listening(read, { port })).rejects.toThrow('is in use')
  other.close()
})
