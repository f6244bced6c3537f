#!/usr/bin/env node
import { keepHeapSmall } from './node/heap.ts'

// Before anything else is loaded, hence the import that waits.
keepHeapSmall()
const { main } = await import('./node/cli.ts')
await main()
