import { z } from 'zod'
import { Environment, SECRET_SETTINGS } from '../src/config.ts'

/** Settings that the chart sets itself, most of them from values with names of their own. */
export const OF_THE_CHART: readonly string[] = [
  ...['NODE_ENV', 'PORT', 'HOST', 'METRICS_PORT', 'DATA_DIR', 'APPS', 'READY_WITHOUT_STORE'],
  ...['CLICKHOUSE_HOST', 'CLICKHOUSE_USER', 'CLICKHOUSE_PASSWORD', 'CLICKHOUSE_DATABASE'],
  // The schema Job has a login of its own; the server needs none.
  'CLICKHOUSE_MIGRATOR_USER',
  // These come from Secrets, by `extraEnvFrom`.
  ...SECRET_SETTINGS.filter((name) => name !== 'CLICKHOUSE_PASSWORD'),
  ...['SPOOL_BYTES_MAX', 'SHUTDOWN_UNREADY_MS', 'SHUTDOWN_GRACE_MS'],
]

const Json = z.record(z.string(), z.unknown())
const WithConfig = z.looseObject({
  properties: z.looseObject({ config: z.looseObject({ properties: Json }) }),
})
const Described = z.looseObject({
  type: z.unknown(),
  description: z.string(),
  pattern: z.string().optional(),
})

/** The chart's schema of values (JSON), with what src/config.ts says of each setting in `config`. */
export function renderValuesSchema(text: string): string {
  const schema = WithConfig.parse(JSON.parse(text))
  const environment = z.toJSONSchema(Environment, {
    target: 'draft-7',
    io: 'output',
    unrepresentable: 'any',
  })
  schema.properties.config.properties = Object.fromEntries(
    Object.entries(environment.properties ?? {})
      .filter(([name]) => !OF_THE_CHART.includes(name))
      .map(([name, setting]) => [name, valueOf(Described.parse(setting))]),
  )
  return `${JSON.stringify(schema, null, 2)}\n`
}

/** What YAML may hold for a setting, which is text in the environment. */
function valueOf({ type, description, ...rest }: z.infer<typeof Described>) {
  if (type === 'integer' || type === 'number') {
    const { minimum, maximum, exclusiveMinimum } = rest
    const least = exclusiveMinimum === 0 && type === 'integer' ? 1 : minimum
    return {
      description,
      type: [type, 'string'],
      ...(least === undefined ? { exclusiveMinimum } : { minimum: least }),
      ...(maximum === Number.MAX_SAFE_INTEGER ? {} : { maximum }),
      pattern: type === 'integer' ? '^[0-9]+$' : '^[0-9.]+$',
    }
  }
  if (type === 'boolean') return { description, type: [type, 'string'], pattern: '^(true|false)$' }
  if (type !== 'string') return { description, type: 'string' }
  // Helm's expressions are Go's, which know no looking around.
  const { pattern = '(?', ...others } = rest
  const known = pattern.replaceAll('(?:', '').includes('(?') ? {} : { pattern }
  const { enum: one, format, minLength, maxLength } = others
  return { description, type, enum: one, format, minLength, maxLength, ...known }
}
