// The child process of embedded.ts: a ClickHouse server until its standard input closes. Its parent
// holds the other end of that pipe and never writes, so whatever kills the parent ends this too.
import { open, load, DataType } from 'ffi-rs'

// A call that returned while nobody had closed our input is a start that failed.
const EARLY_EXIT_CODE = 70
const INPUT_CLOSED_WITHIN_MS = 200

const [library, configFile, dataDir, port, tcp] = process.argv.slice(2)
if (library === undefined || configFile === undefined || dataDir === undefined || !port) {
  process.stderr.write(
    'Started by the server only: engine <library> <config> <folder> <port> [tcp]\n',
  )
  process.exit(64)
}

serveUntilInputCloses(library, [
  'clickhouse',
  `--config-file=${configFile}`,
  // Absolute, or `fsync_part_directory` breaks inserts.
  `--path=${dataDir}`,
  `--http_port=${port}`,
  '--listen_host=127.0.0.1',
  // With TCP, on the port of its configuration, it can be one of several; only our tests need that.
  // `-` and not /dev/stdin: Node's pipes are socket pairs, which cannot be opened again (ENXIO).
  `--query=SYSTEM START LISTEN HTTP; ${tcp === undefined ? '' : 'SYSTEM START LISTEN TCP; '}SELECT * FROM file('-', LineAsString) FORMAT Null`,
])

// On failure the engine has written why to standard error, and returns as it does on success.
process.stdin.once('end', () => process.exit(0))
process.stdin.once('error', () => process.exit(EARLY_EXIT_CODE))
process.stdin.resume()
setTimeout(() => process.exit(EARLY_EXIT_CODE), INPUT_CLOSED_WITHIN_MS)

/** Blocks this thread: ClickHouse needs a real thread's stack, and this process has no other work. */
function serveUntilInputCloses(path: string, args: readonly string[]): void {
  open({ library: 'chdb', path })
  load({
    library: 'chdb',
    funcName: 'query_stable_v2',
    retType: DataType.External,
    paramsType: [DataType.I32, DataType.StringArray],
    paramsValue: [args.length, [...args]],
  })
}
