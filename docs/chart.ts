import { z } from 'zod'
import { AppSetting } from '../src/app-setting.ts'
import { Environment, SECRET_SETTINGS } from '../src/config.ts'

/** Settings that the chart sets itself, most of them from values with names of their own. */
export const OF_THE_CHART: readonly string[] = [
  ...['NODE_ENV', 'PORT', 'HOST', 'METRICS_PORT', 'DATA_DIR', 'APPS', 'READY_WITHOUT_STORE'],
  ...['CLICKHOUSE_HOST', 'CLICKHOUSE_USER', 'CLICKHOUSE_PASSWORD', 'CLICKHOUSE_DATABASE'],
  ...['CLICKHOUSE_READER_USER', 'CLICKHOUSE_CA_FILE', 'CLICKHOUSE_CLUSTER'],
  ...['CLICKHOUSE_CLUSTER_HOSTS', 'KEYS_DIR'],
  // The schema Job has a login of its own; the server needs none.
  'CLICKHOUSE_MIGRATOR_USER',
  ...SECRET_SETTINGS.filter((name) => name !== 'CLICKHOUSE_PASSWORD'),
  ...['SPOOL_BYTES_MAX', 'SHUTDOWN_UNREADY_MS', 'SHUTDOWN_GRACE_MS'],
]

/** Settings of `secretConfig`: Secrets hold them. Those of ClickHouse have values of their own. */
const SECRETS = SECRET_SETTINGS.filter((name) => !name.startsWith('CLICKHOUSE_'))

const Json = z.record(z.string(), z.unknown())
const Values = z.looseObject({
  properties: z.looseObject({
    apps: z.looseObject({ items: Json }),
    config: z.looseObject({ properties: Json }),
    secretConfig: z.looseObject({ properties: Json }),
  }),
})
const Described = z.looseObject({
  type: z.unknown(),
  description: z.string(),
  pattern: z.string().optional(),
})
const TARGET = { target: 'draft-7', unrepresentable: 'any' } as const

/** The chart's schema of values (JSON), with what the code says of settings in `config` and `secretConfig`, and of `apps`. */
export function renderValuesSchema(text: string): string {
  const schema = Values.parse(JSON.parse(text))
  const { apps, config, secretConfig } = schema.properties
  const environment = z.toJSONSchema(Environment, { ...TARGET, io: 'output' }).properties ?? {}
  config.properties = Object.fromEntries(
    Object.entries(environment)
      .filter(([name]) => !OF_THE_CHART.includes(name))
      .map(([name, setting]) => [name, valueOf(Described.parse(setting))]),
  )
  secretConfig.properties = Object.fromEntries(
    SECRETS.map((name) => [name, secretOf(Described.parse(environment[name]))]),
  )
  const { properties, required } = z.toJSONSchema(AppSetting, { ...TARGET, io: 'input' })
  apps.items = Json.parse(closed({ type: 'object', properties, required }))
  return `${JSON.stringify(schema, null, 2)}\n`
}

/** A name that is not known may be a typo, so none is taken; nor a pattern that Helm cannot read. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const inner = Object.entries(schema)
    .filter(([name, value]) => name !== 'pattern' || isOfHelm(String(value)))
    .map(([name, value]) => [name, closed(value)])
  const isObject = 'properties' in schema && 'type' in schema
  return Json.parse(
    Object.fromEntries(isObject ? [...inner, ['additionalProperties', false]] : inner),
  )
}

function secretOf({ description }: z.infer<typeof Described>) {
  const text = { type: 'string', minLength: 1 }
  return {
    description,
    type: 'object',
    additionalProperties: false,
    minProperties: 1,
    maxProperties: 1,
    properties: {
      value: text,
      existingSecret: {
        type: 'object',
        additionalProperties: false,
        required: ['name', 'key'],
        properties: { name: text, key: text },
      },
    },
  }
}

/** Helm's expressions are Go's, which know no looking around. */
function isOfHelm(pattern: string): boolean {
  return !pattern.replaceAll('(?:', '').includes('(?')
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
  const { pattern, ...others } = rest
  const known = pattern !== undefined && isOfHelm(pattern) ? { pattern } : {}
  const { enum: one, format, minLength, maxLength } = others
  return { description, type, enum: one, format, minLength, maxLength, ...known }
}
