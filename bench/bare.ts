// The ceiling of the HTTP side: Hono reads, parses and checks the JSON, and answers. Nothing is kept.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { NativeBatch } from '../src/protocols/native/event.ts'

const app = new Hono()
app.post('/api/v1/ingest', async (c) => {
  const { events } = NativeBatch.parse(await c.req.json())
  return c.json({ success: true, accepted: events.length })
})
app.get('/health/live', (c) => c.json({ status: 'ok' }))
serve({ fetch: app.fetch, port: Number(process.env['PORT']), hostname: '127.0.0.1' })
