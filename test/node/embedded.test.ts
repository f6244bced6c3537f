import { expect, inject, test } from 'vitest'

test('tests have a ClickHouse', async () => {
  expect(await (await fetch(`${inject('clickhouseUrl')}/ping`)).text()).toBe('Ok.\n')
})
