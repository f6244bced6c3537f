import type { Occurrence } from '../../../src/occurrence.ts'
import { createStore } from '../../../src/store/queries.ts'
import type { Store } from '../../../src/store/store.ts'
import { createDatabase } from '../../support/database.ts'
import { insert } from './events.ts'

/** A real store in a database of its own, and the way events get into it. */
export interface Data {
  readonly store: Store
  readonly insert: (occurrences: readonly Occurrence[]) => Promise<void>
  readonly drop: () => Promise<void>
}

/** Opens one on the run's ClickHouse. */
export async function openStore(): Promise<Data> {
  const database = await createDatabase()
  return {
    store: createStore(database),
    insert: (occurrences) => insert(database.clickhouse, occurrences),
    drop: () => database.drop(),
  }
}
