/** buildx builds through berth by every road: spliced where the profile is open, call by call where builds are judged. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { docker, type Host, startDocker } from '../../fixtures/docker.ts'
import { type Engine, startEngine } from '../../fixtures/engine.ts'
import { type Berth, startBerth } from '../support/berth.ts'
import { buildContext, noFallback, sleeps, until } from '../support/builds.ts'
import { succeed } from '../support/docker.ts'

const MANY_BYTES = 200 << 20

const ROADS = { spliced: 'open', judged: 'dedicated' } as const

for (const [road, profile] of Object.entries(ROADS))
  test(`buildx, ${road}`, async (t) => {
    const engine = await startEngine()
    t.teardown(() => engine.stop())
    const berth = await startBerth({ engine: engine.url, args: ['--profile', profile] })
    t.teardown(() => berth.stop())
    const remote = `remote-${road}`
    await succeed(berth, ['buildx', 'create', '--name', remote, '--driver', 'remote', berth.url])
    const build = (...args: string[]) => ['buildx', '--builder', remote, 'build', ...args]

    await t.test('inspect', async (t) => {
      const said = await succeed(berth, ['buildx', 'inspect', '--bootstrap', remote])
      t.match(said, /Status: +running/)
    })

    await t.test('a build, with cache mount and secret, into a folder', async (t) => {
      const folder = await buildContext(
        t,
        'FROM busybox AS run\nRUN --mount=type=cache,target=/k --mount=type=secret,id=s cat /run/secrets/s >/made && echo x >/k/x\nFROM scratch\nCOPY --from=run /made /made\n',
        { secret: 'a secret' },
      )
      await succeed(berth, build('--secret', `id=s,src=${folder}/secret`, folder))
      const out = join(folder, 'out')
      await succeed(
        berth,
        build(
          '--secret',
          `id=s,src=${folder}/secret`,
          '--output',
          `type=local,dest=${out}`,
          folder,
        ),
      )
      t.equal(await readFile(join(out, 'made'), 'utf8'), 'a secret')
    })

    await t.test('a context of 200 MB', async (t) => {
      const folder = await buildContext(
        t,
        `FROM busybox\nCOPY large /\nRUN test $(wc -c </large) = ${MANY_BYTES}\n`,
        { large: Buffer.alloc(MANY_BYTES, 'x') },
      )
      const { code, stderr } = await docker(berth, build(folder))
      t.equal(code, 0, stderr)
    })

    await t.test('four at once', async (t) => {
      const folder = await buildContext(t, 'FROM busybox\nARG N\nRUN echo $N >/n\n')
      const all = ['1', '2', '3', '4'].map((n) =>
        docker(berth, build('--build-arg', `N=${n}`, folder)),
      )
      for (const { code, stderr } of await Promise.all(all)) t.equal(code, 0, stderr)
    })

    await t.test('a build that fails says why', async (t) => {
      const folder = await buildContext(t, 'FROM busybox\nRUN echo the reason >&2; exit 3\n')
      const { code, stderr } = await docker(berth, build(folder))
      t.equal(code, 1)
      t.match(stderr, 'the reason')
      t.match(stderr, 'exit code: 3')
    })

    await t.test('ctrl-C stops the build on the engine', async (t) => {
      const seconds = String(50_000 + process.pid)
      const folder = await buildContext(t, `FROM busybox\nRUN sleep ${seconds}\n`)
      const child = await startDocker(berth, build(folder))
      const closed = once(child, 'close')
      await until('started', () => sleeps(engine, seconds))
      child.kill('SIGINT')
      await until('stopped', async () => !(await sleeps(engine, seconds)))
      t.not((await closed)[0], 0)
    })

    await t.test('docker build and docker compose build', async (t) => {
      const folder = await buildContext(
        t,
        `FROM busybox\nRUN echo ${road} >/road\nCMD cat /road\n`,
        {
          'compose.yaml': `name: built-${road}\nservices: { app: { build: ., image: composed } }\n`,
        },
      )
      await succeed(berth, ['build', '--tag', 'built', folder])
      t.equal(await succeed(berth, ['run', '--rm', 'built']), `${road}\n`)
      await succeed(berth, ['compose', '--project-directory', folder, 'build'])
      t.equal(await succeed(berth, ['run', '--rm', 'composed']), `${road}\n`)
    })

    if (road === 'judged') await refusals(t, engine, berth, build)
    t.notMatch(berth.log(), /"level":[56]0/)
  })

const refusals = (
  t: Test,
  engine: Engine,
  berth: Berth,
  build: (...args: string[]) => string[],
): Promise<unknown> =>
  t.test('the network of the engine is refused, readably and without a fallback', async (t) => {
    const folder = await buildContext(t, 'FROM busybox\nRUN --network=host ip address\n')
    const roads = [
      build('--allow', 'network.host', folder),
      build('--network', 'host', '--allow', 'network.host', folder),
      ['build', '--network', 'host', folder],
    ]
    const refuse = async (args: string[]): Promise<void> => {
      const { code, stderr } = await docker(berth as Host, args)
      t.equal(code, 1, stderr)
      t.match(stderr, /PermissionDenied: berth: .*network\.host/)
    }
    await Promise.all(roads.map(refuse))
    const unasked = await docker(berth, build(folder))
    t.equal(unasked.code, 1, 'without the entitlement the builder itself refuses')
    await noFallback(t, engine)
  })
