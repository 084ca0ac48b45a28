/** What whoever builds is told when it goes wrong on the way, by every road: an error, soon, and no builder of his own. */
import { once } from 'node:events'
import { join } from 'node:path'
import { t as file, type Test, test } from 'tap'
import { type DockerOptions, docker, type Host, startDocker } from '../../fixtures/docker.ts'
import { startEngine } from '../../fixtures/engine.ts'
import { mintKey } from '../../src/tenant/key.ts'
import { startBerth } from '../support/berth.ts'
import { buildContext, newFolder, noFallback, until } from '../support/builds.ts'
import { succeed } from '../support/docker.ts'
import { nameHosts } from '../support/hosts.ts'
import { RecordingEngine } from '../support/recording-engine.ts'
import { openTenancy } from '../support/tenancy.ts'

// one of them waits for 20 seconds, as buildx does
file.jobs = 4

const PROFILES = ['open', 'dedicated'] as const
/** How long a build may go on after what it needs has gone. */
const SOON_MS = 10_000
const SLEEPER = 'FROM busybox\nRUN echo here; sleep 70002\n'
const SMALL = 'FROM busybox\nRUN true\n'

interface Way {
  readonly host: Host
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** The same host by either driver of buildx. */
const drivers = async (name: string, url: string, more: readonly string[] = []) => {
  const create = ['buildx', 'create', '--name', name, '--driver', 'remote', ...more]
  await succeed('', [...create, url])
  return {
    docker: { host: url, args: ['buildx', 'build'] },
    remote: { host: url, args: ['buildx', '--builder', name, 'build'] },
  } as const satisfies Record<string, Way>
}

/** Starts a build, and resolves once it has come to a step that does not end; then its end is waited for. */
const stuck = async (folder: string, { host, args, env }: Way) => {
  const options: DockerOptions = env === undefined ? {} : { env }
  const child = await startDocker(
    host,
    [...args, '--no-cache', '--progress', 'plain', folder],
    options,
  )
  const closed = once(child, 'close')
  child.stdout.resume()
  let said = ''
  child.stderr.on('data', (text) => {
    said += text
  })
  await until('came to its step', async () => /\d here\n/.test(said))
  return async () => {
    const timer = setTimeout(() => child.kill('SIGKILL'), SOON_MS)
    const [code] = await closed
    clearTimeout(timer)
    return { code, said }
  }
}

/** They have all failed, by themselves, and have said why. */
const haveFailed = async (
  t: Test,
  ends: readonly (readonly [about: string, end: () => Promise<{ code: unknown; said: string }>])[],
): Promise<void> => {
  for (const [about, end] of ends) {
    const { code, said } = await end()
    t.equal(code, 1, about)
    t.match(said, /ERROR: .*\S/, about)
  }
}

test('the engine is killed in the middle of builds', async (t) => {
  const engine = await startEngine()
  t.teardown(() => engine.stop())
  const folder = await buildContext(t, SLEEPER)
  const ends = await Promise.all(
    PROFILES.map(async (profile) => {
      const berth = await startBerth({ engine: engine.url, args: ['--profile', profile] })
      t.teardown(() => berth.stop())
      const ways = await drivers(`killed-${profile}`, berth.url)
      return Promise.all(
        Object.entries(ways).map(
          async ([name, way]) => [`${profile}, ${name}`, await stuck(folder, way)] as const,
        ),
      )
    }),
  )
  await engine.kill()
  await haveFailed(t, ends.flat())
})

test('the engine is down before the build', { jobs: 2 }, async (t) => {
  const folder = await buildContext(t, SMALL)
  const tell = async (t: Test, profile: string) => {
    const engine = `unix://${join(newFolder(t), 'no.sock')}`
    const berth = await startBerth({ engine, args: ['--profile', profile] })
    t.teardown(() => berth.stop())
    const ways = await drivers(`down-${profile}`, berth.url)
    const says = /berth: the engine cannot be reached: .* is the engine running\?/
    t.match(await docker(berth, ['build', folder]), { code: 1, stderr: says })
    t.match(await docker(berth, [...ways.docker.args, folder]), { code: 1, stderr: says })
    // gRPC 14: this driver waits for an engine that may be starting, and does not tell what it was told meanwhile
    const waited = await docker(berth, [...ways.remote.args, folder])
    t.match(waited, { code: 1, stderr: /context deadline exceeded/ })
    t.match(berth.log(), /ENGINE_UNREACHABLE/)
  }
  await Promise.all(PROFILES.map((profile) => t.test(profile, (t) => tell(t, profile))))
})

test('an engine whose builder fails is no reason for a builder of his own', async (t) => {
  const folder = await buildContext(t, SMALL)
  for (const profile of PROFILES) {
    const engine = await RecordingEngine.start(t)
    const info = JSON.stringify({ ID: 'a', OSType: 'linux', ApiVersion: '1.51', Version: '28.5.2' })
    const head = 'HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nOstype: linux\r\nBuilder-Version: 2\r\n'
    engine.answer = ({ request, socket }) => {
      if (request.target === '/grpc') socket.destroy()
      else if (request.method === 'HEAD') socket.write(`${head}Content-Length: 2\r\n\r\n`)
      else
        socket.write(
          `${head}Content-Type: application/json\r\nContent-Length: ${info.length}\r\n\r\n${info}`,
        )
    }
    const berth = await startBerth({ engine: engine.url, args: ['--profile', profile] })
    t.teardown(() => berth.stop())
    const { code, stderr } = await docker(berth, ['buildx', 'build', folder])
    t.equal(code, 1, stderr)
    t.match(stderr, /Unavailable: berth: the engine closed the connection/, profile)
    t.same(
      engine.requests.filter(({ method, target }) => method === 'POST' && target !== '/grpc'),
      [],
    )
  }
})

const DOMAIN = 'faults.test'

test('a wrong key, and a tenant that is disabled in the middle of a build', async (t) => {
  const engine = await startEngine()
  t.teardown(() => engine.stop())
  const tenancy = await openTenancy(t)
  const listen = ['tcp://127.0.0.1:0', 'tls://127.0.0.1:0']
  const berth = await tenancy.serve({ listen, args: ['--domain', DOMAIN] })
  const [tcp, tls] = berth.urls.map((url) => new URL(url.replace(/^\w+/, 'http')).port)
  nameHosts(t, [DOMAIN])

  await t.test('a wrong key', async (t) => {
    const folder = await buildContext(t, SMALL)
    const wrong = mintKey()
    nameHosts(t, [`${wrong}.${DOMAIN}`])
    await tenancy.add({ name: 'eve', endpoint: engine.url })
    const out = join(tenancy.state, 'eve')
    await tenancy.order('context', 'eve', '--address', `tls://${DOMAIN}:${tls}`, '--out', out)
    const ways = {
      nameless: await drivers('nameless', `tcp://${DOMAIN}:${tcp}`),
      wrong: await drivers('wrong', `tcp://${wrong}.${DOMAIN}:${tls}`, [
        '--driver-opt',
        `cacert=${out}/ca.pem`,
      ]),
    }
    for (const [name, { remote }] of Object.entries(ways)) {
      const { code, stderr } = await docker('', [...remote.args, folder])
      t.equal(code, 1, name)
      t.match(stderr, /Unauthenticated: berth: who are you\?/, name)
    }
    const byDocker = await docker(ways.nameless.docker.host, [...ways.nameless.docker.args, folder])
    t.match(byDocker, { code: 1, stderr: /berth: who are you\?/ })
  })

  await t.test('a tenant that is disabled', async (t) => {
    const folder = await buildContext(t, SLEEPER)
    const ends = await Promise.all(
      PROFILES.map(async (policy) => {
        const { key } = await tenancy.add({
          name: policy,
          endpoint: engine.url,
          policy,
          hostKey: {},
        })
        nameHosts(t, [`${key}.${DOMAIN}`])
        const out = join(tenancy.state, policy)
        const made = await tenancy.order(
          ...['context', policy, '--host-key', '--key', key, '--json', '--out', out],
          ...['--address', `tls://${DOMAIN}:${tls}`],
        )
        const { env } = JSON.parse(made)
        const address = `tcp://${key}.${DOMAIN}:${tls}`
        const ca = ['--driver-opt', `cacert=${out}/ca.pem`]
        const { remote } = await drivers(`disabled-${policy}`, address, ca)
        const ways: Record<string, Way> = {
          docker: { host: '', args: ['buildx', 'build'], env },
          remote,
        }
        return Promise.all(
          Object.entries(ways).map(
            async ([name, way]) => [`${policy}, ${name}`, await stuck(folder, way)] as const,
          ),
        )
      }),
    )
    for (const policy of PROFILES) await tenancy.order('tenant', 'disable', policy)
    await haveFailed(t, ends.flat())
  })
  await noFallback(t, engine)
})
