import { Layout, type Frame } from './layout.tsx'
import { endpointsByTag, resolveAnswer, resolveParameter } from './openapi.ts'
import type { Endpoint, OpenApi, Parameter } from './openapi.ts'
import { Bodies, Prose, typeName } from './schema.tsx'

/** The OpenAPI document as a page to read. */
export function DocsPage({ frame, api }: { readonly frame: Frame; readonly api: OpenApi }) {
  const groups = endpointsByTag(api)
  return (
    <Layout frame={frame} title="API">
      <div class="docs">
        <div class="docs-head">
          <h1>
            {api.info.title} <small>{api.info.version}</small>
          </h1>
          <Prose text={api.info.description} />
          <p>
            The same as a document for machines: <a href="/openapi.json">openapi.json</a>.
          </p>
          <Keys api={api} />
        </div>
        <nav class="toc" aria-label="Operations">
          {groups.map(({ tag, endpoints }) => (
            <>
              <h2>{tag}</h2>
              <ul>
                {endpoints.map((one) => (
                  <li>
                    <a href={`#${one.id}`}>
                      <Method method={one.method} />
                      <span>{one.path}</span>
                    </a>
                  </li>
                ))}
              </ul>
            </>
          ))}
        </nav>
        <div class="docs-body">
          {groups.map(({ tag, endpoints }) => (
            <section>
              <h2>{tag}</h2>
              <Prose text={api.tags.find(({ name }) => name === tag)?.description} />
              {endpoints.map((one) => (
                <EndpointCard api={api} endpoint={one} />
              ))}
            </section>
          ))}
        </div>
      </div>
    </Layout>
  )
}

/** How a request shows its key. */
function Keys({ api }: { readonly api: OpenApi }) {
  const schemes = Object.values(api.components.securitySchemes)
  if (schemes.length === 0) return null
  return (
    <dl class="card keys pairs wide">
      {schemes.map((one) => (
        <div>
          <dt>{one.type === 'apiKey' ? `A key in a ${one.in ?? 'header'}` : 'Or as'}</dt>
          <dd>
            <code>
              {one.type === 'apiKey'
                ? `${one.name ?? ''}: …`
                : `Authorization: ${bearer(one.scheme)} …`}
            </code>{' '}
            {one.description}
          </dd>
        </div>
      ))}
    </dl>
  )
}

function bearer(scheme = 'bearer'): string {
  return `${scheme.slice(0, 1).toUpperCase()}${scheme.slice(1)}`
}

function Method({ method }: { readonly method: string }) {
  return <b class={`method ${method}`}>{method.toUpperCase()}</b>
}

function EndpointCard({ api, endpoint }: { readonly api: OpenApi; readonly endpoint: Endpoint }) {
  const { operation } = endpoint
  return (
    <article class="card endpoint" id={endpoint.id}>
      <h3>
        <a href={`#${endpoint.id}`}>
          <Method method={endpoint.method} /> <code>{endpoint.path}</code>
        </a>
      </h3>
      {operation.summary !== undefined && <p class="summary">{operation.summary}</p>}
      <Prose text={operation.description} />
      <Parameters api={api} parameters={operation.parameters ?? []} />
      {operation.requestBody?.content && (
        <>
          <h4>Body</h4>
          <Prose text={operation.requestBody.description} />
          <Bodies api={api} content={operation.requestBody.content} />
        </>
      )}
      <h4>Answers</h4>
      {Object.entries(operation.responses ?? {}).map(([status, answer]) => {
        const { description, content } = resolveAnswer(api, answer)
        return (
          <details class="answer">
            <summary>
              <b class={`status s${status.slice(0, 1)}`}>{status}</b> {description}
            </summary>
            {content ? <Bodies api={api} content={content} /> : <p class="none">No body.</p>}
          </details>
        )
      })}
    </article>
  )
}

function Parameters(props: { readonly api: OpenApi; readonly parameters: readonly Parameter[] }) {
  if (props.parameters.length === 0) return null
  return (
    <>
      <h4>Parameters</h4>
      <dl class="fields-list">
        {props.parameters.map((given) => {
          const parameter = resolveParameter(props.api, given)
          return (
            <div>
              <dt>
                <code>{parameter.name}</code>
                <small>
                  {[
                    parameter.in ?? '',
                    parameter.schema ? typeName(props.api, parameter.schema) : '',
                    parameter.required === true ? 'required' : '',
                  ]
                    .filter((part) => part !== '')
                    .join(', ')}
                </small>
              </dt>
              <dd>
                <Prose text={parameter.description ?? parameter.schema?.description} />
              </dd>
            </div>
          )
        })}
      </dl>
    </>
  )
}
