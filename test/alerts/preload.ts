// Loaded into a server before its own code: answers of `GET /api/v1/ingest/test` cannot be made while the
// file ALERTS_BUG is there. A bug, as far as the server can see; no client can make it meet one.
import { existsSync } from 'node:fs'

const bug = process.env['ALERTS_BUG'] ?? ''
const real: unknown = Reflect.get(JSON, 'stringify')
if (typeof real !== 'function') throw new TypeError('There is no JSON.stringify.')
Reflect.set(JSON, 'stringify', (...args: unknown[]) => {
  const [value] = args
  const isTest = typeof value === 'object' && value !== null && 'appName' in value
  if (isTest && existsSync(bug)) throw new TypeError('This is a bug that a test has put here.')
  const text: unknown = Reflect.apply(real, JSON, args)
  return text
})
