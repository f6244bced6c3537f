import { totalmem } from 'node:os'
import { join } from 'node:path'

const GIB = 1024 ** 3
const MIB = 1024 ** 2

/** Threads for merges and mutations. */
export const MERGES_AT_ONCE = 2

/**
 * The memory an embedded ClickHouse may take, in bytes: 40 % of what the machine (or its container)
 * has, between 1 GiB and 3 GiB. It is a guest on somebody's laptop.
 */
export function engineMemoryBytesMax(): number {
  const constrained = process.constrainedMemory()
  const total = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
  return Math.floor(Math.min(3 * GIB, Math.max(GIB, total * 0.4)))
}

/**
 * ClickHouse's configuration as XML, of the file `configFile` for the data folder `dataDir`.
 * Pools are sized for a machine that is also doing something else. `log-level` and `users_config`
 * are the names that `clickhouse local` reads; `logger.level` and inline users it ignores.
 */
export function engineConfig(dataDir: string, configFile: string, memoryBytesMax: number): string {
  return xml('clickhouse', {
    users_config: configFile,
    'log-level': 'error',
    logger: { log: join(dataDir, 'engine.log'), size: '10M', count: 2, console: 0 },
    // Where BACKUP … TO File(…) may write and RESTORE read: a path relative to it.
    backups: { allowed_path: join(dataDir, 'backups') },
    max_server_memory_usage: memoryBytesMax,
    mark_cache_size: 128 * MIB,
    index_mark_cache_size: 32 * MIB,
    uncompressed_cache_size: 0,
    max_concurrent_queries: 100,
    max_thread_pool_size: 400,
    max_thread_pool_free_size: 20,
    background_pool_size: MERGES_AT_ONCE,
    background_merges_mutations_concurrency_ratio: 2,
    background_schedule_pool_size: 4,
    background_common_pool_size: 2,
    background_fetches_pool_size: 1,
    background_move_pool_size: 1,
    background_buffer_flush_schedule_pool_size: 1,
    background_message_broker_schedule_pool_size: 1,
    background_distributed_schedule_pool_size: 1,
    // An idle connection holds up the end by about this; the client gives its own up after 2 s.
    keep_alive_timeout: 3,
    merge_tree: {
      // Their defaults (8 and 20) are larger than so small a pool and would be refused.
      number_of_free_entries_in_pool_to_lower_max_size_of_merge: 2,
      number_of_free_entries_in_pool_to_execute_mutation: 2,
      number_of_free_entries_in_pool_to_execute_optimize_entire_partition: 2,
    },
    profiles: {
      // `clickhouse local` takes an expression for a query; a server does not.
      default: { max_memory_usage: Math.floor(memoryBytesMax * 0.7), implicit_select: 0 },
    },
    users: {
      // The listener is on loopback only; a password would only keep a developer from looking.
      default: {
        password: '',
        networks: { ip: '127.0.0.1' },
        profile: 'default',
        quota: 'default',
      },
    },
    quotas: { default: {} },
  })
}

interface Element {
  readonly [name: string]: string | number | Element
}

function xml(name: string, content: string | number | Element): string {
  if (typeof content !== 'object') return `<${name}>${escaped(String(content))}</${name}>\n`
  const children = Object.entries(content).map(([key, value]) => xml(key, value))
  return `<${name}>\n${children.join('')}</${name}>\n`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
