// `npm run render`: writes into the documents and the chart what the code says. Tests fail when it is stale.
import { readFile, writeFile } from 'node:fs/promises'
import { Environment, SECRET_SETTINGS } from '../src/config.ts'
import { definitionOf, METRIC_NAMES } from '../src/node/metrics.ts'
import { renderValuesSchema } from './chart.ts'
import { renderDashboard } from './dashboard.ts'

const VALUES = new URL('../charts/error-ingestor/values.schema.json', import.meta.url)
const DASHBOARD = new URL('../charts/error-ingestor/files/dashboard.json', import.meta.url)
const README = new URL('../README.md', import.meta.url)
const METRICS = new URL('metrics.md', import.meta.url)

/** The README with the table of settings as src/config.ts has them. */
export function renderSettings(readme: string): string {
  const rows = Object.entries(Environment.shape).map(([name, schema]) => {
    const value: unknown = schema.safeParse(undefined).data
    const isSecret = SECRET_SETTINGS.some((secret) => secret === name)
    const file = isSecret ? ` Or \`${name}_FILE\`, a file that holds it.` : ''
    const text = (schema.description ?? '').replaceAll('|', '\\|') + file
    return `| \`${name}\` | ${defaultText(name, value)} | ${text} |`
  })
  const table = ['| setting | default | what it is |', '| --- | --- | --- |', ...rows].join('\n')
  return between(readme, 'settings', `\n${table}\n`)
}

/** docs/metrics.md with the metrics as src/node/metrics.ts has them. */
export function renderMetrics(page: string): string {
  const rows = METRIC_NAMES.map((name) => {
    const { type, help, labels = {}, buckets, look = '' } = definitionOf(name)
    const named = Object.entries(labels).map(([label, values]) => `\`${label}\`: ${values}`)
    const bounds = buckets === undefined ? [] : [`buckets: ${buckets.join(', ')}`]
    return `| \`${name}\` | ${type} | ${help} | ${[...named, ...bounds].join('<br>')} | ${look} |`
  })
  const head = [
    '| metric | type | what it is | labels | look when |',
    '| --- | --- | --- | --- | --- |',
  ]
  return between(page, 'metrics', `\n${[...head, ...rows].join('\n')}\n`)
}

function between(text: string, name: string, content: string): string {
  const [start, end] = [`<!-- ${name}: made by npm run render -->`, `<!-- /${name} -->`]
  const [from, to] = [text.indexOf(start), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`The document has no place for ${name}.`)
  return `${text.slice(0, from + start.length)}\n${content}\n${text.slice(to)}`
}

function defaultText(name: string, value: unknown): string {
  if (value === undefined || value === '' || (Array.isArray(value) && value.length === 0)) return ''
  const text = `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
  if (typeof value !== 'number' || !name.includes('BYTES')) return text
  const isGiB = value >= 1024 ** 3
  return `${text} (${value / 1024 ** (isGiB ? 3 : 2)} ${isGiB ? 'GiB' : 'MiB'})`
}

if (import.meta.main) {
  await writeFile(README, renderSettings(await readFile(README, 'utf8')))
  await writeFile(VALUES, renderValuesSchema(await readFile(VALUES, 'utf8')))
  await writeFile(METRICS, renderMetrics(await readFile(METRICS, 'utf8')))
  await writeFile(DASHBOARD, renderDashboard())
}
