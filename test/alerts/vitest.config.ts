import { defineConfig } from 'vitest/config'

// Apart from the other tests: these need `prometheus` and `helm` on the PATH, and minutes. npm run test:alerts
export default defineConfig({
  test: {
    include: ['test/alerts/*.suite.ts'],
    globalSetup: ['test/support/engine.ts'],
    testTimeout: 300_000,
    hookTimeout: 120_000,
    // Each alert has a server of its own; more of them at once only wait for each other.
    maxConcurrency: 3,
    fileParallelism: false,
  },
})
