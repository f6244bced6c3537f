import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** What V8 may take for its young generation: twice as much saves no time here, and is never given back. */
const YOUNG_BYTES_MAX = 32 * 1024 * 1024

/**
 * Keeps the young generation at its first size. Loading the modules makes so much garbage that V8
 * would take 32 MB for it and never give them back: 13 of 118 MB resident in an idle server.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}

/** Lets it grow for the load to come, up to {@link YOUNG_BYTES_MAX} instead of V8's 128 MB. */
export function letHeapGrow(): void {
  setFlagsFromString('--semi-space-growth-factor=2')
  const observer = new PerformanceObserver(() => {
    const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')
    if (young === undefined || young.space_size < YOUNG_BYTES_MAX) return
    keepHeapSmall()
    observer.disconnect()
  })
  // V8 has no setting for it that works once it runs, so its growth is watched.
  observer.observe({ entryTypes: ['gc'] })
}
