import { defineConfig } from 'vitest/config'

// Apart from the other tests: these need a Docker engine. npx vitest run --config test/container/vitest.config.ts
export default defineConfig({
  test: {
    include: ['test/container/*.suite.ts'],
    testTimeout: 60_000,
    // Both targets are built, which installs every package.
    hookTimeout: 900_000,
  },
})
