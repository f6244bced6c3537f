import type { ClickHouse } from '../store/clickhouse.ts'
import type { NodeTelemetry } from './telemetry.ts'
import type { Tracing } from './tracing.ts'

/** Names of statements come from our own code; a question without one is `other`. */
const NAME = /^\s*\/\* error-ingestor:([\w-]+) \*\//

/** The same ClickHouse, but each statement is measured, and shown in the trace it belongs to. */
export function watched(
  clickhouse: ClickHouse,
  telemetry: Pick<NodeTelemetry, 'statement'>,
  tracing: Pick<Tracing, 'span'>,
): ClickHouse {
  async function measured<T>(name: string, run: () => Promise<T>): Promise<T> {
    const startedMs = performance.now()
    let isDone = false
    try {
      const answer = await tracing.span(
        `clickhouse ${name}`,
        { 'db.system.name': 'clickhouse' },
        run,
      )
      isDone = true
      return answer
    } finally {
      telemetry.statement(name, isDone, performance.now() - startedMs)
    }
  }
  return {
    insert: (insert, options) =>
      measured(`insert-${insert.table.split('.').at(-1) ?? ''}`, () =>
        clickhouse.insert(insert, options),
      ),
    query: (sql, params, options) =>
      measured(NAME.exec(sql)?.[1] ?? 'other', () => clickhouse.query(sql, params, options)),
    command: (sql, params, options) =>
      measured(NAME.exec(sql)?.[1] ?? 'command', () => clickhouse.command(sql, params, options)),
    ping: () => clickhouse.ping(),
  }
}
