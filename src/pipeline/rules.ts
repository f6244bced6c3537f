import type { AppSetting } from '../app-setting.ts'
import { ownScrub } from './ownScrub.ts'
import type { AppRules } from './pipeline.ts'

const NONE: AppRules = {}

/** What an app asks of the pipeline for itself; most ask nothing. A stage is made once per setting. */
export function createRules(): (app: Pick<AppSetting, 'limits' | 'scrub'>) => AppRules {
  const stages = new WeakMap<object, NonNullable<AppRules['scrub']>>()
  const stageOf = (own: NonNullable<AppSetting['scrub']>) => {
    const stage = stages.get(own) ?? ownScrub(own)
    stages.set(own, stage)
    return stage
  }
  return ({ limits, scrub }) => {
    const eventsPerMinute = limits?.spikeGuard?.eventsPerMinute
    if (scrub === undefined && eventsPerMinute === undefined) return NONE
    return { scrub: scrub === undefined ? undefined : stageOf(scrub), eventsPerMinute }
  }
}
