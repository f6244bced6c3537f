import { BaseSequencer } from 'vitest/node'
import { defineConfig } from 'vitest/config'

// The longest first, so that the others fit beside them.
const ORDER = ['faults', 'upgrade']

class LongestFirst extends BaseSequencer {
  override sort(files: Parameters<BaseSequencer['sort']>[0]) {
    const rank = (path: string) => ORDER.findIndex((name) => path.includes(name)) >>> 0
    return Promise.resolve(files.sort((a, b) => rank(a.moduleId) - rank(b.moduleId)))
  }
}

// Apart from the other tests: these need a Kubernetes cluster, and touch it. npm run test:k8s
export default defineConfig({
  test: {
    include: ['test/cluster/*.suite.ts'],
    // Stories, not steps: what they wait for has bounds of its own.
    testTimeout: 1_200_000,
    hookTimeout: 1_200_000,
    // Stories mostly wait, each in a namespace of its own.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
  },
})
