import { defineConfig } from 'vitest/config'
import root from '../../vitest.config.ts'

// Apart from the other tests: these install clients from the registries, once. npm run test:sdks
export default defineConfig({
  ...root,
  test: {
    ...root.test,
    include: ['test/sdks/*.suite.ts'],
    // What is not there yet is compiled: Rust's client takes longest.
    hookTimeout: 600_000,
    retry: 0,
  },
})
