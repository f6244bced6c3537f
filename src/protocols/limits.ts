import { LIMITS } from '../occurrence.ts'
import type { Occurrence } from '../occurrence.ts'
import {
  breadcrumbsFit,
  createCutter,
  fingerprintFits,
  objectFits,
  stackFits,
  tagsFit,
  textFits,
} from './cut.ts'

/**
 * Brings a decoded occurrence, whose texts have no lone surrogates, within {@link LIMITS}. What is longer is
 * cut, says so where it is a text, and is named in `marks` as `field:cut`. What fits, as nearly everything
 * does, comes back as it is. Never throws.
 */
export function withinLimits(wide: Occurrence): Occurrence {
  if (surelyFits(wide)) return wide
  const cutter = createCutter(wide.marks)
  const label = (field: 'appVersion' | 'platformVersion' | 'environment') =>
    cutter.text(field, wide[field], LIMITS.labelBytesMax)
  const { parsedStack, userId } = wide
  const narrow = {
    code: cutter.code(wide.code),
    message: cutter.text('message', wide.message, LIMITS.messageBytesMax),
    stackTrace: cutter.middle('stackTrace', wide.stackTrace, LIMITS.stackTraceBytesMax),
    parsedStack: parsedStack === undefined ? undefined : cutter.stack(parsedStack),
    appVersion: label('appVersion'),
    platformVersion: label('platformVersion'),
    environment: label('environment'),
    userId: userId === null ? null : cutter.text('userId', userId, LIMITS.labelBytesMax),
    metadata: cutter.metadata(wide.metadata),
    tags: cutter.tags(wide.tags),
    fingerprint: cutter.fingerprint(wide.fingerprint),
    breadcrumbs: cutter.breadcrumbs(wide.breadcrumbs),
  }
  return { ...wide, ...narrow, marks: cutter.marks }
}

function surelyFits(wide: Occurrence): boolean {
  const { parsedStack, userId } = wide
  return (
    wide.code.length <= LIMITS.codeCharsMax &&
    textFits(wide.message, LIMITS.messageBytesMax) &&
    textFits(wide.stackTrace, LIMITS.stackTraceBytesMax) &&
    textFits(wide.appVersion, LIMITS.labelBytesMax) &&
    textFits(wide.platformVersion, LIMITS.labelBytesMax) &&
    textFits(wide.environment, LIMITS.labelBytesMax) &&
    (userId === null || textFits(userId, LIMITS.labelBytesMax)) &&
    (parsedStack === undefined || stackFits(parsedStack)) &&
    objectFits(wide.metadata) &&
    tagsFit(wide.tags) &&
    fingerprintFits(wide.fingerprint) &&
    breadcrumbsFit(wide.breadcrumbs)
  )
}

/**
 * The time that is kept of what a client says: its own, unless that is over an hour ahead of the receipt.
 * `claimedMs` undefined means that it said none.
 */
export function settleTime(
  claimedMs: number | undefined,
  receivedAtMs: number,
): Pick<Occurrence, 'timestampMs' | 'originalTimestampMs'> {
  if (claimedMs === undefined) return { timestampMs: receivedAtMs, originalTimestampMs: undefined }
  if (claimedMs > receivedAtMs + LIMITS.clockAheadMsMax) {
    return { timestampMs: receivedAtMs, originalTimestampMs: claimedMs }
  }
  return { timestampMs: claimedMs, originalTimestampMs: undefined }
}
