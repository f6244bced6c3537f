import type { Frame, Platform } from '../../occurrence.ts'
import type { Thrown } from './stack.ts'

/**
 * A stack as text, as a person of that platform reads it, but always newest call first and the thrown
 * exception before its causes.
 */
export function renderStack(chain: readonly Thrown[], platform: Platform): string {
  const lines: string[] = []
  for (const [at, thrown] of chain.entries()) {
    const title = titleOf(thrown, platform)
    lines.push(at === 0 ? title : `Caused by: ${title}`)
    const middle = Math.ceil(thrown.frames.length / 2)
    for (const [index, frame] of thrown.frames.entries()) {
      if (index === middle && thrown.framesLost > 0) {
        lines.push(`    ... ${String(thrown.framesLost)} more calls ...`)
      }
      lines.push(`${INDENT[platform] ?? '    '}${frame.raw}`)
      if (platform === 'python' && frame.contextLine !== undefined) {
        lines.push(`    ${frame.contextLine.trim()}`)
      }
    }
  }
  return lines.join('\n')
}

/** One call as its platform writes it, without the indentation. */
export function frameText(frame: Omit<Frame, 'raw'>, platform: Platform): string {
  const name = frame.functionName ?? '<unknown>'
  const file = frame.fileName ?? '<unknown>'
  const line = frame.lineNumber === null ? '' : `:${String(frame.lineNumber)}`
  const place = `${file}${line}`
  const column = frame.columnNumber === null ? '' : `:${String(frame.columnNumber)}`
  switch (platform) {
    case 'python':
      return `File "${file}"${frame.lineNumber === null ? '' : `, line ${String(frame.lineNumber)}`}, in ${name}`
    case 'java':
    case 'android':
      return `at ${name}(${frame.fileName === null ? 'Unknown Source' : place})`
    case 'go':
      return `${name}()\n\t\t${place}`
    case 'ruby':
      return `from ${place}:in '${name}'`
    case 'php':
      return `${file}${frame.lineNumber === null ? '' : `(${String(frame.lineNumber)})`}: ${name}()`
    case 'dotnet':
      return `at ${name}${frame.fileName === null ? '' : ` in ${file}:line ${String(frame.lineNumber ?? 0)}`}`
    case 'elixir':
      return `${place}: ${name}`
    case 'rust':
    case 'native':
    case 'ios':
      return frame.fileName === null ? name : `${name}\n             at ${place}${column}`
    case 'web':
    case 'node':
    case 'other':
      return frame.functionName === null ? `at ${place}${column}` : `at ${name} (${place}${column})`
  }
}

const INDENT: Partial<Record<Platform, string>> = {
  python: '  ',
  java: '\t',
  android: '\t',
  go: '\t',
  ruby: '\t',
  dotnet: '   ',
}

function titleOf(thrown: Thrown, platform: Platform): string {
  const qualified = platform === 'java' || platform === 'android' || platform === 'dotnet'
  const type =
    qualified && thrown.type !== undefined && thrown.module !== undefined
      ? `${thrown.module}.${thrown.type}`
      : thrown.type
  if (type === undefined) return thrown.value ?? ''
  return thrown.value === undefined ? type : `${type}: ${thrown.value}`
}
