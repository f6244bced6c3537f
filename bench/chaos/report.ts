import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Findings } from './reconcile.ts'

/** One run, as it is told. */
export interface Report {
  readonly seed: number
  readonly seconds: number
  readonly drainSeconds: number
  readonly faults: ReadonlyMap<string, number>
  readonly findings: Findings
  readonly resends: number
  readonly statuses: ReadonlyMap<string, number>
  readonly skipped: readonly string[]
  readonly violations: readonly string[]
}

const FILE = 'docs/reliability.md'
const BEGIN = '<!-- chaos: npm run chaos writes between these two lines -->'
const END = '<!-- chaos: end -->'

/** Whether every promise was kept. */
export function isGood({ findings, violations }: Report): boolean {
  const { lost, doubleRows, doubleInAnswers, problems } = findings
  return lost + doubleRows + doubleInAnswers + problems.length + violations.length === 0
}

/** The run for a person at a terminal. */
export function textOf(report: Report): string {
  const { findings, faults, statuses } = report
  const lines = [
    `seed ${report.seed}, ${total(faults)} faults in ${Math.round(report.seconds)} s, drained in ${report.drainSeconds.toFixed(1)} s`,
    ...[...faults].sort().map(([name, count]) => `  ${String(count).padStart(4)}  ${name}`),
    `  answers: ${[...statuses]
      .sort()
      .map(([status, count]) => `${status}: ${count}`)
      .join(', ')}`,
    `  ${findings.acknowledged} events acknowledged, ${report.resends} sent again`,
    `  ${findings.lost} lost; double: ${findings.doubleRows} rows, ${findings.doubleInAnswers} in answers`,
    `  ${findings.crossRows} rows of ids that both servers took at once, counted once`,
    `  ${findings.damagedRows} rows told as damaged, ${findings.missingAndTold} events missing by them`,
    ...report.skipped.map((text) => `  SKIPPED: ${text}`),
    ...findings.notes.map((text) => `  note: ${text}`),
    ...findings.problems.map((text) => `  PROBLEM: ${text}`),
    ...[...new Set(report.violations)].slice(0, 50).map((text) => `  VIOLATION: ${text}`),
    isGood(report) ? 'chaos: all promises kept' : 'chaos: FAILED',
  ]
  return `${lines.join('\n')}\n`
}

/** Puts the run into docs/reliability.md, in the place of an older one of the same seed. */
export function writeDocs(report: Report): void {
  const text = existsSync(FILE) ? readFileSync(FILE, 'utf8') : ''
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (from < 0 || to < from) throw new Error(`${FILE} has no place for the table.`)
  const rows = new Map<string, string>()
  const counts = new Map<string, Map<string, number>>()
  const old = text.slice(from + BEGIN.length, to)
  for (const line of old.split('\n').filter((each) => /^\| \d/.test(each))) {
    rows.set(line.split('|')[1]?.trim() ?? '', line)
  }
  const columns: string[] = []
  for (const line of old.split('\n').filter((each) => /^\| [A-Za-z]/.test(each))) {
    const [, name = '', ...cells] = line.split('|').map((cell) => cell.trim())
    if (name === 'seed') continue
    if (name === 'fault') {
      columns.push(...cells.slice(0, -1))
      continue
    }
    const of = new Map<string, number>()
    for (const [i, seed] of columns.entries()) of.set(seed, Number(cells[i] ?? 0))
    counts.set(name, of)
  }
  const seed = String(report.seed)
  rows.set(seed, rowOf(report))
  if (!columns.includes(seed)) columns.push(seed)
  for (const [name, count] of report.faults) {
    const of = counts.get(name) ?? new Map<string, number>()
    counts.set(name, of.set(seed, count))
  }
  for (const [name, of] of counts) if (!report.faults.has(name)) of.set(seed, 0)
  const table = [
    '| seed | faults | minutes | events acknowledged | sent again | lost | double in the table | double in answers | damaged rows told | events missing, all told |',
    `|${' ---: |'.repeat(10)}`,
    ...rows.values(),
    '',
    `| fault | ${columns.join(' | ')} |`,
    `| --- |${' ---: |'.repeat(columns.length)}`,
    ...[...counts]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, of]) => `| ${name} | ${columns.map((each) => of.get(each) ?? 0).join(' | ')} |`),
  ]
  const body = `${BEGIN}\n\n${table.join('\n')}\n\n`
  writeFileSync(FILE, text.slice(0, from) + body + text.slice(to))
}

function rowOf({ seed, faults, seconds, findings, resends }: Report): string {
  const cells = [
    ...[seed, total(faults), (seconds / 60).toFixed(1), findings.acknowledged, resends],
    ...[findings.lost, findings.doubleRows, findings.doubleInAnswers],
    ...[findings.damagedRows, findings.missingAndTold],
  ]
  return `| ${cells.join(' | ')} |`
}

function total(faults: ReadonlyMap<string, number>): number {
  return [...faults.values()].reduce((sum, count) => sum + count, 0)
}
