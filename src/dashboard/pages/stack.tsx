import type { Frame } from '../../occurrence.ts'
import type { StoredEvent } from '../../store/store.ts'
import { Text, counted } from './text.tsx'

/** The stack: the app's own frames in full, runs of others folded, and the text as it was sent. */
export function Stack({ event }: { readonly event: StoredEvent }) {
  const frames = event.parsedStack?.frames ?? []
  const raw = event.stackTrace === '' ? (event.parsedStack?.raw ?? '') : event.stackTrace
  return (
    <section class="card stack">
      <h2>
        Stack trace
        {frames.length > 0 && (
          <small>{`${counted(frames.length, 'frame')}, newest call first`}</small>
        )}
      </h2>
      {frames.length > 0 && (
        <ol class="frames">
          {runs(frames).map((run) =>
            run.inApp ? <OwnFrames {...run} /> : <OtherFrames {...run} />,
          )}
        </ol>
      )}
      {raw !== '' && (
        <details class="raw" open={frames.length === 0}>
          <summary>As it was sent</summary>
          <pre tabindex={0} id="raw-stack">
            <Text value={raw} />
          </pre>
        </details>
      )}
      {frames.length === 0 && raw === '' && <p class="none">This event came without a stack.</p>}
    </section>
  )
}

interface Run {
  readonly inApp: boolean
  readonly frames: readonly Frame[]
}

function runs(frames: readonly Frame[]): readonly Run[] {
  const found: { inApp: boolean; frames: Frame[] }[] = []
  for (const frame of frames) {
    const last = found.at(-1)
    if (last?.inApp === frame.inApp) last.frames.push(frame)
    else found.push({ inApp: frame.inApp, frames: [frame] })
  }
  return found
}

function OwnFrames({ frames }: Run) {
  return (
    <>
      {frames.map((frame) => (
        <li class="frame own">
          <Place frame={frame} />
        </li>
      ))}
    </>
  )
}

function OtherFrames({ frames }: Run) {
  return (
    <li class="others-run">
      <details open={frames.length < 3}>
        <summary>{`${counted(frames.length, 'frame')} of libraries and the platform`}</summary>
        <ol>
          {frames.map((frame) => (
            <li class="frame">
              <Place frame={frame} />
            </li>
          ))}
        </ol>
      </details>
    </li>
  )
}

function Place({ frame }: { readonly frame: Frame }) {
  const name = frame.originalFunctionName ?? frame.functionName
  const file = frame.originalFileName ?? frame.fileName
  const isResolved = frame.resolved === true
  const line = isResolved ? frame.originalLineNumber : frame.lineNumber
  const column = isResolved ? frame.originalColumnNumber : frame.columnNumber
  if (name === null && file === null) {
    return (
      <code class="frame-raw">
        <Text value={frame.raw === '' ? '(unknown)' : frame.raw} />
      </code>
    )
  }
  return (
    <>
      <code class="frame-function">
        <Text value={name ?? '(anonymous)'} />
      </code>
      {file !== null && (
        <span class="frame-place">
          <Text value={file} />
          <b>{[line, column].filter((one) => typeof one === 'number').map((one) => `:${one}`)}</b>
        </span>
      )}
      {isResolved && (
        <span class="frame-sent">
          sent as <Text value={frame.raw.trim().replace(/^at /, '')} />
        </span>
      )}
      {frame.contextLine !== undefined && frame.contextLine !== '' && (
        <pre class="context">
          <Text value={frame.contextLine} />
        </pre>
      )}
    </>
  )
}
