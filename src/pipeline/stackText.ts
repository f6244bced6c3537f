import type { Frame } from '../occurrence.ts'

/** What grouping needs of a call. */
export type Call = Pick<Frame, 'functionName' | 'fileName' | 'inApp' | 'contextLine'>

const LINES_MAX = 600
const LINE_CHARS_MAX = 1024

/**
 * The calls of a stack as text, newest first: V8, Hermes, Firefox and Safari, Python, Java and
 * Kotlin, .NET, Go, Ruby, PHP, Rust, Elixir, Apple. Lines of other kinds are passed over; lines of
 * over 1,024 characters are read up to there, and 600 lines at most. Whether a call is the app's own is told by
 * its path or package. Empty where no line is a call.
 */
export function parseStackText(stack: string): readonly Call[] {
  const lines = stack.split('\n', LINES_MAX)
  const calls: Call[] = []
  let isPython = false
  let previous = ''
  for (const whole of lines) {
    const line = (whole.length > LINE_CHARS_MAX ? whole.slice(0, LINE_CHARS_MAX) : whole).trim()
    if (line.startsWith('Traceback (most recent call last)')) isPython = true
    const call = callOf(line, whole, previous)
    if (call !== undefined) calls.push(call)
    previous = line
  }
  return isPython ? calls.reverse() : calls
}

function callOf(line: string, whole: string, previous: string): Call | undefined {
  if (line === '') return undefined
  if (line.startsWith('at ')) {
    // Rust says the place on the line after the name.
    const name = RUST_NAME.exec(previous)?.[1]
    return name === undefined ? afterAt(line.slice(3)) : call(name, placeOf(line.slice(3)))
  }
  if (line.startsWith('File "')) return pythonCall(line)
  if (line.startsWith('#')) return phpCall(line)
  if (whole.startsWith('\t') && /^\S+\.(?:go|s):\d+/.test(line)) return goCall(line, previous)
  const sign = line.lastIndexOf('@')
  if (sign !== -1) return geckoCall(line, sign)
  return rubyCall(line) ?? elixirCall(line) ?? appleCall(line)
}

const RUST_NAME = /^\d{1,4}: (?:0x[\da-f]+ - )?(\S.{0,800})$/

function afterAt(text: string): Call | undefined {
  const inFile = text.indexOf(') in ')
  if (inFile !== -1) return call(text.slice(0, text.indexOf('(')), placeOf(text.slice(inFile + 5)))
  const spaced = text.indexOf(' (')
  if (spaced > 0 && text.endsWith(')')) {
    const place = text.slice(spaced + 2, -1).replace(/^address at /, '')
    if (place.startsWith('index ')) return undefined
    if (/[:/\\.]|^native$|^<anonymous>$/.test(place))
      return call(text.slice(0, spaced), placeOf(place))
  }
  const open = text.indexOf('(')
  if (open > 0) return jvmOrDotnet(text, open)
  return text.startsWith('async ') ? call('', placeOf(text.slice(6))) : call('', placeOf(text))
}

/** `com.app.Main.run(Main.java:12)` or `App.Main.Run(String name)`. */
function jvmOrDotnet(text: string, open: number): Call | undefined {
  const close = text.indexOf(')', open)
  if (close === -1) return undefined
  const within = text.slice(open + 1, close)
  // A class loader or module stands before: `app//com.app.Main.run`, `java.base/java.lang.Thread.run`.
  const name = text.slice(text.lastIndexOf('/', open) + 1, open)
  const isJvm = /^[\w$-]+\.[a-z]{2,6}(?::\d+)?$|^(?:Unknown Source|Native Method)$/.test(within)
  const file = isJvm && within.includes('.') ? within : ''
  return { ...call(name, placeOf(file)), inApp: !LIBRARY_NAMES.test(name) }
}

function pythonCall(line: string): Call | undefined {
  const end = line.indexOf('"', 6)
  if (end === -1) return undefined
  const name = / in (\S.*)$/.exec(line.slice(end + 1))?.[1]
  return call(name ?? '', line.slice(6, end))
}

/** `#0 /app/a.php(12): App\Foo->bar()`; `#1 {main}` and `[internal function]` have no file. */
function phpCall(line: string): Call | undefined {
  const start = line.indexOf(' ') + 1
  if (start === 0 || !/^#\d{1,4}$/.test(line.slice(0, start - 1))) return undefined
  const colon = line.indexOf(': ', start)
  if (colon === -1) return undefined
  const place = line.slice(start, colon)
  const open = line.indexOf('(', colon)
  const name = line.slice(colon + 2, open === -1 ? undefined : open)
  const file = place.startsWith('[') ? '' : place.replace(/\(\d+\)$/, '')
  return { ...call(name, file), inApp: file !== '' && !LIBRARY_PATHS.test(file) }
}

function goCall(line: string, previous: string): Call | undefined {
  const name = previous.replace(/^created by /, '').replace(/ in goroutine \d+$/, '')
  const open = name.lastIndexOf('(')
  const end = line.indexOf(' +0x')
  return call(
    name.endsWith(')') && open > 0 ? name.slice(0, open) : name,
    placeOf(end === -1 ? line : line.slice(0, end)),
  )
}

function geckoCall(line: string, sign: number): Call | undefined {
  // The path itself may hold an @ (a package's scope or version); the name never holds a slash before its own.
  const at = line.indexOf('@')
  const place = line.slice(at + 1)
  if (!/:\d+$/.test(place) && place !== '[native code]') return undefined
  const name = line.slice(0, at === -1 ? sign : at)
  return name.includes(' ') ? undefined : call(name, placeOf(place))
}

function rubyCall(line: string): Call | undefined {
  const at = line.indexOf(':in ')
  if (at === -1 || !/:\d+$/.test(line.slice(Math.max(0, at - 12), at))) return undefined
  const name = line
    .slice(at + 4)
    .replace(/^[`']/, '')
    .replace(/'$/, '')
  return call(name, placeOf(line.slice(line.startsWith('from ') ? 5 : 0, at)))
}

const ELIXIR = /^(?:\(([\w.]{1,64}) [\w.+-]{1,64}\) )?([\w./-]{1,512}\.exs?):\d+: (\S.*)$/
const APPLE = /^\d{1,4} +(\S{1,128}) +0x[\da-f]{6,16} (\S.*?)(?: \+ \d+)?$/

function elixirCall(line: string): Call | undefined {
  const parts = ELIXIR.exec(line)
  if (parts === null) return undefined
  const isLibrary = /^(?:elixir|stdlib|phoenix|plug|ecto|ecto_sql|cowboy)$/.test(parts[1] ?? '')
  return { ...call(parts[3] ?? '', parts[2] ?? ''), inApp: !isLibrary }
}

function appleCall(line: string): Call | undefined {
  const parts = APPLE.exec(line)
  if (parts === null) return undefined
  const image = parts[1] ?? ''
  const isLibrary =
    /^(?:UIKit|CoreFoundation|Foundation|libsystem|libdispatch|libobjc|libswift|dyld|GraphicsServices|QuartzCore|CFNetwork|SwiftUI)/
  return { ...call(parts[2] ?? '', image), inApp: !isLibrary.test(image) }
}

/** Without line and column, which come in `:12:5`, `:line 12` or `(12)`. */
function placeOf(place: string): string {
  return place.replace(/:(?:line )?\d{1,9}(?::\d{1,9})?$/, '')
}

/** A call whose owner is told by its path, or by its name where libraries are known by their packages. */
function call(functionName: string, fileName: string): Call {
  const inApp = !LIBRARY_PATHS.test(fileName) && !LIBRARY_NAMES.test(functionName)
  return { functionName, fileName, inApp }
}

const LIBRARY_PATHS =
  /node_modules[/\\]|^node:|^internal\/|^native$|^<|\[native code\]|(?:site|dist)-packages|[/\\]lib[/\\]python\d|[/\\]gems[/\\]|[/\\]lib[/\\]ruby|[/\\]vendor[/\\]|[/\\]go[/\\]src[/\\]|[/\\]pkg[/\\]mod[/\\]|\/rustc\/|\.cargo[/\\]|InternalBytecode\.js$/
const LIBRARY_NAMES =
  /^(?:javax?|jdk|sun|kotlinx?|scala|androidx?|dalvik|com\.android|com\.sun|org\.(?:springframework|apache|hibernate|junit|eclipse)|io\.netty|reactor|okhttp3|retrofit2|System|Microsoft)\.|^(?:core|std|alloc|tokio|hyper|futures_util)::|^<?(?:core|std|alloc)::|^(?:runtime|net\/http|reflect|testing)\./
