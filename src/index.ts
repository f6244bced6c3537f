import { createRegistrations } from './keys/registrations.ts'

/** Apps that this process registers by code; `start` serves them beside the configured ones. */
const registrations = createRegistrations(() => Date.now())

/**
 * Makes an app, or one more key for it, and gives back its new ingest key, which is shown only here.
 * It lasts as long as the process: a key that must outlive it belongs in the configuration.
 * @throws RangeError for an empty or too long id or name.
 */
export const registerApp = registrations.register

/**
 * Starts the server with the given environment (that of the process when absent) and resolves once
 * it listens.
 * @throws Error with a sentence for the person who starts it.
 */
export async function start(env: NodeJS.ProcessEnv = process.env) {
  const { startServer } = await import('./node/server.ts')
  return startServer(env, registrations)
}
