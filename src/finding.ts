/** How bad a finding is: `wrong` must be mended, a `warning` will hurt, a `note` is good to know. */
export const FINDING_LEVELS = ['ok', 'note', 'warning', 'wrong'] as const

/** One thing that was looked at, and what was found. Never a secret, never content of an event. */
export interface Finding {
  /** Its name: area and check, such as `spool-free`; the same in every version. */
  readonly check: string
  readonly level: (typeof FINDING_LEVELS)[number]
  /** What is so, as a sentence. */
  readonly text: string
  /** What to do about it; absent where there is nothing to do. */
  readonly advice?: string
}

/** Makes findings of one check. */
export function findingsOf(check: string) {
  return {
    ok: (text: string): Finding => ({ check, level: 'ok', text }),
    note: (text: string, advice?: string): Finding => found('note', text, advice),
    warning: (text: string, advice: string): Finding => found('warning', text, advice),
    wrong: (text: string, advice: string): Finding => found('wrong', text, advice),
  }

  function found(level: Finding['level'], text: string, advice: string | undefined): Finding {
    return { check, level, text, ...(advice !== undefined && { advice }) }
  }
}

/** What an applied version of the schema means for code that needs another; 0 is no schema at all. */
export function schemaFinding(version: number, needed: number): Finding {
  const { ok, note, wrong } = findingsOf('schema-version')
  if (version === needed) return ok(`The schema has version ${version}, as it should.`)
  if (version > needed) {
    const text = `The schema has version ${version}, newer than the ${needed} of this program.`
    return note(text, 'That is a rollback and works; a newer program was here before.')
  }
  const text =
    version === 0
      ? `There is no schema in ClickHouse yet, and version ${needed} is needed: run the migrations.`
      : `The schema has version ${version} and ${needed} is needed: run the migrations.`
  return wrong(
    text,
    'Run `error-ingestor migrate`, or in the chart its Job; `--plan` only says what it would do.',
  )
}
