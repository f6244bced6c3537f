import { resolve, type Content, type OpenApi, type Schema } from './openapi.ts'

// Deeper than this a schema is recursion, or nobody reads it.
const DEPTH_MAX = 5

/** Paragraphs of a description; `code` between backticks, all else as it stands. */
export function Prose({ text }: { readonly text: string | undefined }) {
  if (text === undefined || text === '') return null
  return (
    <>
      {text.split(/\n{2,}/).map((paragraph) => (
        <p class="prose">
          {paragraph.split('`').map((part, i) => (i % 2 === 1 ? <code>{part}</code> : part))}
        </p>
      ))}
    </>
  )
}

/** The bodies of a request or an answer, by media type. */
export function Bodies({ api, content }: { readonly api: OpenApi; readonly content: Content }) {
  return (
    <>
      {Object.entries(content).map(([type, media]) => (
        <div class="body">
          <p class="none">{type}</p>
          {media.schema && <Fields api={api} schema={media.schema} depth={0} />}
          {media.example !== undefined && (
            <pre tabindex={0}>{JSON.stringify(media.example, null, 2)}</pre>
          )}
        </div>
      ))}
    </>
  )
}

/** A type in a few words: `array of string`, `"a" | "b"`, `integer (1 to 1000), default 100`. */
export function typeName(api: OpenApi, given: Schema, depth = 0): string {
  const schema = resolve(api, given)
  if (depth > DEPTH_MAX) return 'any'
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(' | ')
  const either = schema.anyOf ?? schema.oneOf
  if (either) return [...new Set(either.map((one) => typeName(api, one, depth + 1)))].join(' or ')
  const type = [schema.type ?? (schema.properties ? 'object' : 'any')].flat().join(' or ')
  const items = schema.items ? ` of ${typeName(api, schema.items, depth + 1)}` : ''
  const name = `${type}${items}${schema.format === undefined ? '' : ` (${schema.format})`}`
  const after = schema.default === undefined ? '' : `, default ${JSON.stringify(schema.default)}`
  return `${name}${bounds(schema)}${after}`
}

function bounds(schema: Schema): string {
  const low = schema.minimum ?? schema.minLength ?? schema.minItems
  const high = schema.maximum ?? schema.maxLength ?? schema.maxItems
  const limit = Number.MAX_SAFE_INTEGER
  const hasHigh = high !== undefined && high < limit
  const hasLow = low !== undefined && low > -limit
  const unit =
    schema.minLength !== undefined || schema.maxLength !== undefined
      ? ' characters'
      : schema.minItems !== undefined || schema.maxItems !== undefined
        ? ' items'
        : ''
  if (hasLow && hasHigh) return `, ${low} to ${high}${unit}`
  if (hasHigh) return `, at most ${high}${unit}`
  return hasLow ? `, at least ${low}${low === 1 ? unit.replace(/s$/, '') : unit}` : ''
}

function Fields(props: { readonly api: OpenApi; readonly schema: Schema; readonly depth: number }) {
  const { api, depth } = props
  const schema = objectIn(api, props.schema)
  if (schema?.properties === undefined || depth >= DEPTH_MAX) {
    return depth === 0 ? <p>{typeName(api, props.schema)}</p> : null
  }
  return (
    <dl class="fields-list">
      {Object.entries(schema.properties).map(([name, field]) => (
        <div>
          <dt>
            <code>{name}</code>
            <small>
              {typeName(api, field)}
              {schema.required?.includes(name) === true ? '' : ', optional'}
            </small>
          </dt>
          <dd>
            <Prose text={field.description ?? resolve(api, field).description} />
            <Fields api={api} schema={field} depth={depth + 1} />
          </dd>
        </div>
      ))}
    </dl>
  )
}

/** The object whose fields are worth listing: itself, what a list holds, or the one of a choice. */
function objectIn(api: OpenApi, given: Schema, depth = 0): Schema | undefined {
  const schema = resolve(api, given)
  if (schema.properties) return schema
  if (depth > DEPTH_MAX) return undefined
  if (schema.items) return objectIn(api, schema.items, depth + 1)
  const parts = schema.allOf ?? schema.anyOf ?? schema.oneOf ?? []
  return parts.map((one) => objectIn(api, one, depth + 1)).find((one) => one !== undefined)
}
