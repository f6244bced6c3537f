import { z } from 'zod'

const port = z.coerce.number().int().min(0).max(65_535)
/** Apps with metrics of their own: more would make a scrape longer than its readers like. */
const METRICS_APPS_MAX = 200

/** A DSN as Sentry writes it: a key, a host, perhaps a path, and the number of a project. */
const Dsn = z
  .url({ protocol: /^https?$/ })
  .refine(
    (text) =>
      URL.canParse(text) && new URL(text).username !== '' && /\/\d+$/.test(new URL(text).pathname),
    'must be a DSN such as https://key@errors.example.com/1',
  )

/** The settings by which the service is watched; part of those in config.ts. */
export const watchSettings = {
  METRICS_PORT: port.optional().describe('Serves /metrics on a port of its own too.'),
  METRICS_APPS_MAX: z.coerce
    .number()
    .int()
    .min(0)
    .max(METRICS_APPS_MAX)
    .default(0)
    .describe(
      'Apps that have metrics of their own, the first that send; those beyond are `other`. None by default: the ledger has them all.',
    ),
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Where our traces go by OTLP, if any.'),
  OTEL_TRACES_SAMPLER_ARG: z.coerce
    .number()
    .min(0)
    .max(1)
    .default(0.01)
    .describe('Share of the requests that are traced, beside those whose client says so.'),
  SELF_DSN: Dsn.optional().describe(
    'DSN to which errors of this server itself go, of this or another server.',
  ),
  LOG_LEVEL: z
    .enum(['error', 'warn', 'info', 'debug', 'silent'])
    .default('info')
    .describe('Least severe level that is logged.'),
}

/** The settings by which the service is watched, as modules see them. */
export function watchOf(e: z.infer<z.ZodObject<typeof watchSettings>>) {
  return {
    /** Apps that metrics tell apart; 0: none. */
    metricsAppsMax: e.METRICS_APPS_MAX,
    tracing: { endpoint: e.OTEL_EXPORTER_OTLP_ENDPOINT, sampleRatio: e.OTEL_TRACES_SAMPLER_ARG },
    /** Where errors of our own go; undefined: nowhere but the log. */
    selfDsn: e.SELF_DSN,
    logLevel: e.LOG_LEVEL,
  }
}
