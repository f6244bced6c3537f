import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SERVER, settled } from './pods.ts'
import { clickhouseManifest, eventually, namespace, PATIENCE, type Space } from './support.ts'
import { EMBEDDED, EXTERNAL, IMAGE, KEY, say, STANDALONE } from './values.ts'

/** Folder of the chart of the version before; see run. */
const PREVIOUS_CHART = process.env['PREVIOUS_CHART'] ?? ''

describe('external: from the chart before to this one, and back', () => {
  const VALUES = [...EXTERNAL, 'replicaCount=2']
  let space: Space
  beforeAll(async () => {
    space = await namespace('ei-upgrade')
    await space.apply(await clickhouseManifest())
    const before = [...VALUES, 'image.tag=suite-previous']
    await space.installFrom(PREVIOUS_CHART, before, '--wait', '--wait-for-jobs')
    await space.startLoad(IMAGE, KEY, 'shop')
    await space.goesOn(500)
  })
  afterAll(() => space.leave())

  test('upgrades under load: new tables first, then pod by pod, old and new ones together', async () => {
    const tookMs = await space.install(VALUES, '--wait', '--atomic')
    await settled(space, 2)
    await space.goesOn(500)
    say('upgrade from the chart before, ms', Math.round(tookMs))
    expect(await space.helm('test', 'errors', '--logs')).toContain('the round trip works')
    expect((await space.load('/')).failures).toEqual([])
  })

  test('changes nothing when the tables cannot be upgraded', async () => {
    const before = await space.kubectl('get', 'pods', '--output=jsonpath={.items[*].metadata.uid}')
    const upgrade = space.install([...VALUES, 'clickhouse.external.url=http://nowhere:8123'])
    const refused = expect(upgrade).rejects.toThrow(/pre-upgrade/)
    const job = 'job/errors-error-ingestor-schema-upgrade'
    await eventually(async () => {
      expect(await space.kubectl('logs', job, '--container=wait')).toContain(
        'waiting for ClickHouse at http://nowhere:8123',
      )
    })
    // Its log has been read, so its time may be over; it takes its pod along.
    await space.kubectl(
      'patch',
      job,
      '--type=merge',
      '--patch={"spec":{"activeDeadlineSeconds":1}}',
    )
    await refused
    const pods = await space.kubectl(
      ...['get', 'pods', '--selector=app.kubernetes.io/component!=schema'],
      '--output=jsonpath={.items[*].metadata.uid}',
    )
    expect(pods).toBe(before)
    await space.install(VALUES, '--wait')
    expect((await space.load('/')).failures).toEqual([])
  })

  test('goes back from pods that never become ready, without a refused request', async () => {
    const broken = [
      ...VALUES,
      ...['requests', 'limits'].map((of) => `resources.${of}.memory=4000Gi`),
    ]
    // Without hooks, so that it is the pods that the 20 seconds are over for.
    const upgrade = space.install(broken, '--no-hooks', '--wait', '--timeout=20s')
    await expect(upgrade).rejects.toThrow(/deadline exceeded|timed out/)
    await eventually(async () => {
      expect((await space.pods(SERVER)).map(({ status }) => status.phase)).toContain('Pending')
    })
    await space.helm('rollback', 'errors', '--wait', PATIENCE)
    await settled(space, 2)
    await space.goesOn(500)
    expect((await space.load('/')).failures).toEqual([])
  })

  test('goes back to the version before, which runs on the new tables, and forward again', async () => {
    await space.helm('rollback', 'errors', '1', '--wait', PATIENCE)
    await settled(space, 2)
    const images = '--output=jsonpath={.items[*].spec.containers[0].image}'
    expect(
      await space.kubectl('get', 'pods', '--selector=app.kubernetes.io/component=server', images),
    ).toBe('error-ingestor:suite-previous error-ingestor:suite-previous')
    await space.goesOn(500)
    await space.install(VALUES, '--wait')
    await settled(space, 2)
    await space.goesOn(500)
    const report = await space.load('/reconcile')
    say('upgrade load', { ...report, failures: report.failures.length })
    expect(report).toMatchObject({ failures: [], lost: 0, doubled: 0, counted: report.sent })
  })
})

describe('embedded: from the chart before to this one', () => {
  let space: Space
  beforeAll(async () => {
    space = await namespace('ei-upgrade-embedded')
    const before = ['clickhouse.mode=embedded', 'image.tag=suite-previous-standalone']
    await space.installFrom(PREVIOUS_CHART, before, '--wait')
  })
  afterAll(() => space.leave())

  test('keeps the key, the events on the claim and what comes meanwhile', async () => {
    const secret = await space.kubectl(
      ...['get', 'secret', 'errors-error-ingestor-trial'],
      '--output=jsonpath={.data.key}',
    )
    await space.startLoad(STANDALONE, Buffer.from(secret, 'base64').toString(), 'trial')
    await space.goesOn(500)
    await space.install(EMBEDDED, '--wait')
    await settled(space, 1)
    await space.goesOn(500)
    const report = await space.load('/reconcile')
    say('embedded upgrade load', { ...report, failures: report.failures.length })
    expect(report).toMatchObject({ lost: 0, doubled: 0, counted: report.sent })
  })
})
