import { z } from 'zod'
import type { ClickHouse } from './clickhouse.ts'

/** An event's identity. */
export interface EventKey {
  readonly appId: string
  readonly id: string
}

const HEX = /^[0-9a-f]*$/
const APPS_MAX = 65_535
const Keys = z.array(z.object({ app_id: z.string(), id: z.string() }))

// The question is the body of the request: its ids must fit the parser's limit.
const SETTINGS = { max_query_size: 64 * 1024 * 1024, max_threads: 1 }

// Millions of rows of few bytes, of which nearly none are left: steps of a million cost a tenth less than
// those of 65,000 (20,000 ids among 46 million: 207 ms for 230; 5,000: 152 for 182).
const WIDE = { max_block_size: 1_000_000, preferred_block_size_bytes: 100_000_000 }

/**
 * Which of these events were stored in the last 24 hours, by any process. Exact: ids are compared,
 * not only their hashes. Made to be asked once per block of up to 20,000 rows.
 * @returns keys as `appId + NUL + id`.
 * @throws RangeError when an id is no UUID in lower case with dashes.
 */
export async function knownIds(
  clickhouse: ClickHouse,
  database: string,
  rows: readonly EventKey[],
  signal?: AbortSignal,
): Promise<ReadonlySet<string>> {
  if (rows.length === 0) return new Set()
  const found = await clickhouse.query(
    `/* error-ingestor:known-ids */
    WITH (SELECT groupArray(cityHash64(app_id, id)) FROM (${asked(rows)})) AS hashes
    SELECT DISTINCT app_id, id FROM {database: Identifier}.seen
    PREWHERE h0 IN (SELECT toUInt16(arrayJoin(hashes)))
      AND h1 IN (SELECT toUInt16(bitShiftRight(arrayJoin(hashes), 16)))
      AND h2 IN (SELECT toUInt32(bitShiftRight(arrayJoin(hashes), 32)))`,
    { database },
    // With so many ids every part of the index matches; looking it up costs more than it saves.
    run({ ...WIDE, use_index_for_in_with_subqueries: rows.length < 1_000 ? 1 : 0 }, signal),
  )
  return among(rows, found)
}

/**
 * Which of these events stand in the table now, however old. Exact, and slower than
 * {@link knownIds}: it is for a block that is not sent again as it was. What an insert that was cut
 * short has left in the table alone is told to the other tables, since nobody else will do it.
 * @returns keys as `appId + NUL + id`.
 * @throws RangeError when an id is no UUID in lower case with dashes.
 */
export async function storedIds(
  clickhouse: ClickHouse,
  database: string,
  rows: readonly EventKey[],
  signal?: AbortSignal,
): Promise<ReadonlySet<string>> {
  if (rows.length === 0) return new Set()
  const found = await clickhouse.query(
    `/* error-ingestor:stored-ids */
    WITH asked AS (SELECT app_id, toUUID(UUIDNumToString(id)) AS uuid FROM (${asked(rows)}))
    SELECT DISTINCT app_id, id FROM {database: Identifier}.occurrences
    WHERE app_id IN (SELECT app_id FROM asked) AND id IN (SELECT uuid FROM asked)`,
    { database },
    run({}, signal),
  )
  const stored = among(rows, found)
  const isStored = ({ appId, id }: EventKey) => stored.has(`${appId}\0${id}`)
  await completeViews(clickhouse, database, rows.filter(isStored), signal)
  return stored
}

/**
 * Rows reach the table first and its views after it: a crash between leaves some of them without the
 * rows that a second one is found by. So these are counted apart from now on, which is exact whether
 * there is a second one or not; and the other processes are told that they are stored.
 */
async function completeViews(
  clickhouse: ClickHouse,
  database: string,
  stored: readonly EventKey[],
  signal: AbortSignal | undefined,
): Promise<void> {
  if (stored.length === 0) return
  await clickhouse.command(
    `INSERT INTO {database: Identifier}.doubles (app_id, id, found_at)
    SELECT app_id, toUUID(UUIDNumToString(id)), now('UTC') FROM (${asked(stored)})`,
    { database },
    run({}, signal),
  )
  const seen = await knownIds(clickhouse, database, stored, signal)
  const unseen = stored.filter(({ appId, id }) => !seen.has(`${appId}\0${id}`))
  if (unseen.length === 0) return
  await clickhouse.command(
    `INSERT INTO {database: Identifier}.seen (h0, h1, h2, id, app_id, stored_at)
    WITH cityHash64(app_id, id) AS hash
    SELECT toUInt16(hash), toUInt16(bitShiftRight(hash, 16)), toUInt32(bitShiftRight(hash, 32)),
      toUUID(UUIDNumToString(id)), app_id, now('UTC') FROM (${asked(unseen)})`,
    { database },
    run({}, signal),
  )
}

/**
 * Notes which of these stored events have more than one row, so that they are counted once. Needed
 * only for a block that was stored over 30 seconds after {@link knownIds} was asked for it: what
 * comes sooner is found without being told.
 */
export async function recordDoubles(
  clickhouse: ClickHouse,
  database: string,
  rows: readonly EventKey[],
  signal?: AbortSignal,
): Promise<void> {
  if (rows.length === 0) return
  await clickhouse.command(
    `INSERT INTO {database: Identifier}.doubles (app_id, id, found_at)
    WITH (SELECT groupArray(cityHash64(app_id, id)) FROM (${asked(rows)})) AS hashes
    SELECT app_id, id, now('UTC') FROM {database: Identifier}.seen
    PREWHERE h0 IN (SELECT toUInt16(arrayJoin(hashes)))
      AND h1 IN (SELECT toUInt16(bitShiftRight(arrayJoin(hashes), 16)))
      AND h2 IN (SELECT toUInt32(bitShiftRight(arrayJoin(hashes), 32)))
    GROUP BY app_id, id HAVING count() > 1`,
    { database },
    run(WIDE, signal),
  )
}

function run(settings: Readonly<Record<string, number>>, signal: AbortSignal | undefined) {
  const all = { ...SETTINGS, ...settings }
  return signal === undefined ? { settings: all } : { settings: all, signal }
}

/**
 * A SELECT of `app_id` and `id` (16 bytes, in the order of its digits). The values stand in the text
 * as hex digits only, because a parameter would not fit a URL; so nothing in them can be SQL.
 */
function asked(rows: readonly EventKey[]): string {
  const apps = new Map<string, number>()
  let indexes = ''
  for (const { appId } of rows) {
    let index = apps.get(appId)
    if (index === undefined) {
      index = apps.size + 1
      apps.set(appId, index)
    }
    indexes += INDEX_HEX[index] ?? indexHex(index)
  }
  if (apps.size > APPS_MAX) throw new RangeError('A block has rows of too many apps.')
  // Checked together, because 20,000 tests of one id each cost more (4.4 ms for 2.4).
  const ids = rows
    .map(({ id }) => id)
    .join('')
    .replaceAll('-', '')
  if (ids.length !== 32 * rows.length || !HEX.test(ids)) {
    throw new RangeError('An id is no UUID in lower case.')
  }
  const names = [...apps.keys()].map((name) => `unhex('${hex(name)}')`)
  return `SELECT [${names.join(', ')}][index] AS app_id, id FROM (
      SELECT reinterpret(unhex('${ids}'), 'Array(FixedString(16))') AS ids,
        reinterpret(unhex('${indexes}'), 'Array(UInt16)') AS indexes
    ) ARRAY JOIN ids AS id, indexes AS index`
}

/** Two bytes, the lower one first. */
function indexHex(index: number): string {
  const digits = index.toString(16).padStart(4, '0')
  return digits.slice(2) + digits.slice(0, 2)
}
const INDEX_HEX: readonly string[] = Array.from({ length: 32 }, (_, index) => indexHex(index))

function hex(text: string): string {
  const digits = (byte: number) => byte.toString(16).padStart(2, '0')
  return Array.from(new TextEncoder().encode(text), digits).join('')
}

/** Hashes let a few others through; only those that were asked for count. */
function among(rows: readonly EventKey[], found: readonly unknown[]): ReadonlySet<string> {
  const stored = new Set(Keys.parse(found).map(({ app_id, id }) => `${app_id}\0${id}`))
  if (stored.size === 0) return stored
  return new Set(rows.map(({ appId, id }) => `${appId}\0${id}`).filter((key) => stored.has(key)))
}
