import { z } from 'zod'

const Schema = z.looseObject({
  $ref: z.string().optional(),
  type: z.union([z.string(), z.array(z.string())]).optional(),
  description: z.string().optional(),
  format: z.string().optional(),
  enum: z.array(z.unknown()).optional(),
  const: z.unknown().optional(),
  default: z.unknown().optional(),
  required: z.array(z.string()).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  minLength: z.number().optional(),
  maxLength: z.number().optional(),
  minItems: z.number().optional(),
  maxItems: z.number().optional(),
  get properties() {
    return z.record(z.string(), Schema).optional()
  },
  get items() {
    return Schema.optional()
  },
  get anyOf() {
    return z.array(Schema).optional()
  },
  get oneOf() {
    return z.array(Schema).optional()
  },
  get allOf() {
    return z.array(Schema).optional()
  },
})

const Media = z.looseObject({ schema: Schema.optional(), example: z.unknown().optional() })
const Content = z.record(z.string(), Media)

const Parameter = z.looseObject({
  $ref: z.string().optional(),
  name: z.string().optional(),
  in: z.string().optional(),
  required: z.boolean().optional(),
  description: z.string().optional(),
  schema: Schema.optional(),
})

const Answer = z.looseObject({
  $ref: z.string().optional(),
  description: z.string().optional(),
  content: Content.optional(),
})

const Operation = z.looseObject({
  summary: z.string().optional(),
  description: z.string().optional(),
  tags: z.array(z.string()).optional(),
  parameters: z.array(Parameter).optional(),
  requestBody: z
    .looseObject({ description: z.string().optional(), content: Content.optional() })
    .optional(),
  responses: z.record(z.string(), Answer).optional(),
})

const SecurityScheme = z.looseObject({
  type: z.string(),
  in: z.string().optional(),
  name: z.string().optional(),
  scheme: z.string().optional(),
  description: z.string().optional(),
})

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const

/** What the documentation page reads of an OpenAPI 3.1 document; all else in it is left alone. */
export const OpenApi = z.looseObject({
  info: z.looseObject({
    title: z.string(),
    version: z.string(),
    description: z.string().optional(),
  }),
  tags: z
    .array(z.looseObject({ name: z.string(), description: z.string().optional() }))
    .default([]),
  paths: z.record(z.string(), z.record(z.string(), z.unknown())).default({}),
  components: z
    .looseObject({
      schemas: z.record(z.string(), Schema).default({}),
      parameters: z.record(z.string(), Parameter).default({}),
      responses: z.record(z.string(), Answer).default({}),
      securitySchemes: z.record(z.string(), SecurityScheme).default({}),
    })
    .default({ schemas: {}, parameters: {}, responses: {}, securitySchemes: {} }),
})

/** A parsed {@link OpenApi} document. */
export type OpenApi = z.infer<typeof OpenApi>
/** A JSON Schema inside the document. */
export type Schema = z.infer<typeof Schema>
/** A parameter of an operation. */
export type Parameter = z.infer<typeof Parameter>
/** What an operation answers with one status. */
export type Answer = z.infer<typeof Answer>
/** Bodies by media type. */
export type Content = z.infer<typeof Content>

/** One operation of the document, with where it lives. */
export interface Endpoint {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly tag: string
  readonly operation: z.infer<typeof Operation>
}

/** All operations, by tag: declared tags first and in their order, then the others. */
export function endpointsByTag(
  api: OpenApi,
): readonly { readonly tag: string; readonly endpoints: readonly Endpoint[] }[] {
  const all = Object.entries(api.paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => methods[method] !== undefined).map((method): Endpoint => {
      const operation = Operation.parse(methods[method])
      const id = `${method}${path}`.replace(/[^a-z0-9]+/gi, '-').replace(/-$/, '')
      return { id, method, path, tag: operation.tags?.[0] ?? 'Other', operation }
    }),
  )
  const tags = new Set([...api.tags.map(({ name }) => name), ...all.map(({ tag }) => tag)])
  return [...tags]
    .map((tag) => ({ tag, endpoints: all.filter((one) => one.tag === tag) }))
    .filter(({ endpoints }) => endpoints.length > 0)
}

/** The schema itself, or the component that it refers to. */
export function resolve(api: OpenApi, schema: Schema): Schema {
  return component(api.components.schemas, schema.$ref) ?? schema
}

/** The parameter itself, or the component that it refers to. */
export function resolveParameter(api: OpenApi, parameter: Parameter): Parameter {
  return component(api.components.parameters, parameter.$ref) ?? parameter
}

/** The answer itself, or the component that it refers to. */
export function resolveAnswer(api: OpenApi, answer: Answer): Answer {
  return component(api.components.responses, answer.$ref) ?? answer
}

function component<T>(among: Readonly<Record<string, T>>, ref: string | undefined): T | undefined {
  const name = ref?.split('/').at(-1)
  return name === undefined ? undefined : among[name]
}
