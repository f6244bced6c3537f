import { readFileSync } from 'node:fs'
import { ConfigError, SECRET_SETTINGS } from '../config.ts'

/**
 * The environment with each `<setting>_FILE` of {@link SECRET_SETTINGS} replaced by what that file
 * holds, without the newline at its end.
 * @throws ConfigError for a file that cannot be read or is empty, and where both are set.
 */
export function withSecretFiles(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const read: Record<string, string> = {}
  const problems: string[] = []
  for (const name of SECRET_SETTINGS) {
    const file = env[`${name}_FILE`]
    if (file === undefined || file === '') continue
    if (env[name] !== undefined && env[name] !== '') {
      problems.push(`${name}: set either this or ${name}_FILE.`)
      continue
    }
    try {
      read[name] = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
      if (read[name] === '') problems.push(`${name}_FILE: the file is empty.`)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
      problems.push(`${name}_FILE: the file cannot be read (${code}).`)
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return { ...env, ...read }
}
