import { expect, test } from 'vitest'
import { createSettled } from '../../src/pipeline/settle.ts'

/** Asks how much is stored, of one event that is stored when the spool settles. */
async function asked(streams: () => Promise<boolean> | undefined) {
  const told: string[] = []
  let stored = 0
  const settled = createSettled({
    streams,
    settle: (waitMs) => {
      told.push(`settle ${waitMs}`)
      stored = 1
      return Promise.resolve()
    },
  })
  const answer = await settled(() => {
    told.push('ask')
    return Promise.resolve(stored)
  })
  return { answer, told }
}

test('a question sees what was accepted before it', async () => {
  expect(await asked(() => undefined)).toEqual({ answer: 1, told: ['settle 1000', 'ask'] })
})

test('a question does not wait for the last events of a stream that goes on', async () => {
  expect(await asked(() => Promise.resolve(true))).toEqual({ answer: 0, told: ['ask'] })
})

test('a question behind a stream that has ended sees all of it', async () => {
  const { answer, told } = await asked(() => Promise.resolve(false))
  expect({ answer, told }).toEqual({ answer: 1, told: ['ask', 'settle 1000', 'ask'] })
})

test('one event that is not found is looked for again, behind the last ones of the stream', async () => {
  let stored: string | undefined
  const settled = createSettled({
    streams: () => Promise.resolve(true),
    settle: () => {
      stored = 'the event'
      return Promise.resolve()
    },
  })
  expect(await settled(() => Promise.resolve(stored))).toBe('the event')
})
