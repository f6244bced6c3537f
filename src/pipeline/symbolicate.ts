import type { Occurrence } from '../occurrence.ts'

/**
 * The occurrence with its frames in the names and lines of the sources. Frames are returned as sent
 * until source maps are applied; the stage keeps its place between spool and grouping, because
 * fingerprints must be made of the names that do not change with every release.
 */
export function symbolicate(occurrence: Occurrence): Occurrence {
  return occurrence
}
