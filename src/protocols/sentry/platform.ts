import type { JsonObject, Platform } from '../../occurrence.ts'
import { isObject, objectOf, textOf } from '../json.ts'

/** Where an event comes from, and the version of the system or runtime it ran on. */
export function platformOf(event: JsonObject): {
  readonly platform: Platform
  readonly platformVersion: string
} {
  const contexts = objectOf(event['contexts']) ?? {}
  const os = objectOf(contexts['os'])
  // Rust's client calls its context `rust` and says only in the type what it is.
  const runtime =
    objectOf(contexts['runtime']) ??
    Object.values(contexts)
      .filter(isObject)
      .find((context) => context['type'] === 'runtime')
  const sdk = textOf(objectOf(event['sdk'])?.['name'])?.toLowerCase() ?? ''
  const platform = nameOf(
    textOf(event['platform'])?.toLowerCase() ?? '',
    sdk,
    textOf(os?.['name'])?.toLowerCase() ?? '',
    textOf(runtime?.['name'])?.toLowerCase() ?? '',
  )
  const context =
    platform === 'ios' || platform === 'android'
      ? os
      : platform === 'web'
        ? objectOf(contexts['browser'])
        : (runtime ?? os)
  return { platform, platformVersion: textOf(context?.['version']) ?? '' }
}

const NAMES: Readonly<Record<string, Platform>> = {
  javascript: 'web',
  node: 'node',
  python: 'python',
  go: 'go',
  java: 'java',
  kotlin: 'java',
  rust: 'rust',
  ruby: 'ruby',
  php: 'php',
  csharp: 'dotnet',
  fsharp: 'dotnet',
  vb: 'dotnet',
  elixir: 'elixir',
  cocoa: 'ios',
  objc: 'ios',
  swift: 'ios',
  native: 'native',
  c: 'native',
}

// Apps of these kits run on phones, and only the operating system says on which.
const MOBILE_KITS = /react-native|flutter|dart|capacitor|unity|maui|kmp|cocoa|apple/

const SERVERS =
  /\b(?:node|bun|deno|cloudflare|vercel-edge|nestjs|aws-serverless|google-cloud-serverless)\b/

function nameOf(platform: string, sdk: string, os: string, runtime: string): Platform {
  if (sdk.startsWith('sentry.java.android') || sdk.startsWith('sentry.native.android')) {
    return 'android'
  }
  if (sdk.startsWith('sentry.rust')) return 'rust'
  if (MOBILE_KITS.test(sdk) || platform === 'dart') {
    if (os === 'android') return 'android'
    if (os === 'ios' || os === 'ipados') return 'ios'
  }
  // Servers that run JavaScript without Node say so in their runtime only.
  if (platform === 'javascript' && (SERVERS.test(runtime) || SERVERS.test(sdk))) return 'node'
  return Object.hasOwn(NAMES, platform) ? (NAMES[platform] ?? 'other') : 'other'
}
