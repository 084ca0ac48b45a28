/** An engine that grants builds nothing beyond themselves has them spliced; any other has them read. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { docker } from '../../fixtures/docker.ts'
import { type Engine, type Release, startEngine } from '../../fixtures/engine.ts'
import { startBerth } from '../support/berth.ts'
import { succeed } from '../support/docker.ts'

const NOTHING = { 'network-host': false, 'security-insecure': false, device: false }

/** An engine whose daemon.json says what builders may be granted. */
const startGranting = async (t: Test, release: Release, entitlements: object): Promise<Engine> => {
  const file = join(t.testdir({}), 'daemon.json')
  await writeFile(file, JSON.stringify({ builder: { entitlements } }))
  const engine = await startEngine({ release, flags: ['--config-file', file] })
  t.teardown(() => engine.stop())
  return engine
}

/** Builds through a berth of profile `dedicated`; resolves to what was said, and whether its calls were read. */
const build = async (t: Test, engine: Engine, dockerfile: string, ...args: string[]) => {
  const berth = await startBerth({ engine: engine.url })
  t.teardown(() => berth.stop())
  const ran = await docker(berth, ['build', ...args, '-'], { input: dockerfile })
  // a spliced upgrade is one line with 101; each call that is read has one of its own
  const lines = berth
    .log()
    .split('\n')
    .filter((line) => line.includes('"route":"/grpc"'))
  return { ...ran, isRead: lines.some((line) => /"status":200/.test(line)) }
}

/** How many builds the engine remembers. */
const buildsOf = async (engine: Engine): Promise<number> => {
  const [, ...builds] = (await succeed(engine, ['buildx', 'history', 'ls'])).trim().split('\n')
  return builds.length
}

const PLAIN = 'FROM busybox\nRUN echo built\n'
const HOST = 'FROM busybox\nRUN --network=host ip address\n'

test('an engine that grants nothing', async (t) => {
  const engine = await startGranting(t, 'current', NOTHING)
  t.match(await build(t, engine, PLAIN), { code: 0, isRead: false })
  const host = await build(t, engine, HOST, '--network', 'host')
  t.match(host, { code: 1, isRead: false }, 'it refuses by itself')
  t.match(host.stderr, /network\.host.*not allowed by build daemon configuration/)
  t.equal(await buildsOf(engine), 1, 'being asked is no build')
})

for (const granted of ['network-host', 'security-insecure'])
  test(`an engine that grants ${granted}`, async (t) => {
    const engine = await startGranting(t, 'current', { ...NOTHING, [granted]: true })
    t.match(await build(t, engine, PLAIN), { code: 0, isRead: true })
    const refused = await build(t, engine, HOST, '--network', 'host')
    t.match(refused, { code: 1, stderr: /berth: .*network\.host/ })
    t.equal(await buildsOf(engine), 1, 'being asked is no build')
  })

test('an engine as it comes, and one that is older', async (t) => {
  for (const release of ['current', 'old'] satisfies Release[]) {
    const engine = await startEngine({ release })
    t.teardown(() => engine.stop())
    t.match(await build(t, engine, PLAIN), { code: 0, isRead: true }, release)
  }
  const engine = await startGranting(t, 'old', {
    'network-host': false,
    'security-insecure': false,
  })
  t.match(
    await build(t, engine, PLAIN),
    { code: 0, isRead: false },
    'an old one that grants nothing',
  )
})
