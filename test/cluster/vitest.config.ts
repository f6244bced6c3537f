import { defineConfig } from 'vitest/config'

// Apart from the other tests: these need a Kubernetes cluster, and touch it. npm run test:k8s
export default defineConfig({
  test: {
    include: ['test/cluster/*.suite.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // One cluster, one story after the other.
    fileParallelism: false,
  },
})
