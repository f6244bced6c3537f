import { FINDING_LEVELS, type Finding } from '../../finding.ts'
import { printable } from '../terminal.ts'
import type { Report } from './doctor.ts'

/** What the names of checks begin with, in the order in which they are shown, and their titles. */
const AREAS = {
  settings: 'Settings',
  server: 'Server',
  folder: 'Data folder',
  spool: 'Spool',
  clickhouse: 'ClickHouse',
  schema: 'Schema',
  keys: 'Apps and keys',
  reach: 'Others',
} as const
const MARKS = {
  ok: 'ok',
  note: 'note',
  warning: 'WARN',
  wrong: 'WRONG',
} as const satisfies Record<Finding['level'], string>
const MARK_CHARS = 7

/** The report for people: what is wrong stands out, with what to do below it. */
export function reportText({ version, at, findings }: Report): string {
  const lines = [`error-ingestor ${version}, ${at}`]
  for (const [area, title] of Object.entries(AREAS)) {
    const own = findings.filter(({ check }) => check.startsWith(`${area}-`))
    if (own.length === 0) continue
    lines.push('', title)
    for (const { level, text, advice } of own) {
      lines.push(`  ${MARKS[level].padEnd(MARK_CHARS)}${printable(text)}`)
      if (advice !== undefined) lines.push(`  ${' '.repeat(MARK_CHARS)}→ ${printable(advice)}`)
    }
  }
  return `${[...lines, '', verdict(findings)].join('\n')}\n`
}

/** The worst level among findings; `ok` where there is none. */
export function worstOf(findings: readonly Finding[]): Finding['level'] {
  const worst = Math.max(0, ...findings.map(({ level }) => FINDING_LEVELS.indexOf(level)))
  return FINDING_LEVELS[worst] ?? 'ok'
}

function verdict(findings: readonly Finding[]): string {
  const count = (level: Finding['level']) => findings.filter((one) => one.level === level).length
  const [wrong, warnings] = [count('wrong'), count('warning')]
  if (wrong + warnings === 0) return 'Nothing is wrong.'
  const parts = [
    ...(wrong > 0 ? [`${wrong} ${wrong === 1 ? 'thing is' : 'things are'} wrong`] : []),
    ...(warnings > 0 ? [`${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`] : []),
  ]
  return `${parts.join(', ')}.`
}
