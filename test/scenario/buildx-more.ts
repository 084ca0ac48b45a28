/** More builds by every road: what they are given, what they give, how they are stopped, and over TLS. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { t as file, type Test, test } from 'tap'
import { type DockerOptions, docker, type Host, startDocker } from '../../fixtures/docker.ts'
import { type Engine, startEngine } from '../../fixtures/engine.ts'
import { startBerth } from '../support/berth.ts'
import { buildContext, newFolder, sleeps, until } from '../support/builds.ts'
import { sorted, succeed } from '../support/docker.ts'
import { nameHosts } from '../support/hosts.ts'
import { sshAdd, startAgent } from '../support/ssh.ts'
import { openTenancy } from '../support/tenancy.ts'

// some of them wait for a build that says nothing
file.jobs = 3

/** A build that says nothing for so long; three minutes in the long form. */
const SILENCE_SECONDS = process.env.BERTH_SOAK === '1' ? 190 : 20
const LARGE_BYTES = 64 << 20

const ROADS = { spliced: 'open', judged: 'dedicated' } as const

/** Ways of one user to one engine: directly, and through berth by either driver of buildx. */
interface Way {
  readonly host: Host
  readonly args: readonly string[]
}
type Ways = Readonly<Record<'direct' | 'docker' | 'remote', Way>>

const startWays = async (t: Test, engine: Engine, road: keyof typeof ROADS) => {
  const berth = await startBerth({ engine: engine.url, args: ['--profile', ROADS[road]] })
  t.teardown(() => berth.stop())
  const remote = `more-${road}`
  await succeed(berth, ['buildx', 'create', '--name', remote, '--driver', 'remote', berth.url])
  const ways: Ways = {
    direct: { host: engine, args: ['buildx', 'build'] },
    docker: { host: berth, args: ['buildx', 'build'] },
    remote: { host: berth, args: ['buildx', '--builder', remote, 'build'] },
  }
  return { berth, ways, remote }
}

const build = ({ host, args }: Way, more: readonly string[], options?: DockerOptions) =>
  docker(host, [...args, '--no-cache', ...more], options)

/** What a build leaves in one file of its result. */
const made = async (
  t: Test,
  way: Way,
  more: readonly string[],
  options?: DockerOptions,
): Promise<string> => {
  const folder = newFolder(t)
  const ran = await build(way, [...more, '--output', `type=local,dest=${folder}`], options)
  t.equal(ran.code, 0, ran.stderr)
  return await readFile(join(folder, 'made'), 'utf8')
}

const SSH = `FROM busybox AS run
COPY --chmod=755 root /
RUN --mount=type=ssh /usr/bin/ssh-add -l >/made
FROM scratch
COPY --from=run /made /made
`
const SECRET = `FROM busybox AS run
RUN --mount=type=secret,id=word,env=WORD printf %s "$WORD" >/made && test ! -e /run/secrets/word
FROM scratch
COPY --from=run /made /made
`

/** What a step of a build prints on the way, so that it is known to have got there. */
const interrupt = async (way: Way, more: readonly string[], mark: RegExp) => {
  const child = await startDocker(way.host, [...way.args, '--progress', 'plain', ...more])
  const closed = once(child, 'close')
  child.stdout.resume()
  let said = ''
  let isStruck = false
  child.stderr.on('data', (text) => {
    said += text
    if (isStruck || !mark.test(said)) return
    isStruck = true
    child.kill('SIGINT')
  })
  const [code] = await closed
  return { code, said, isStruck }
}

const isIdle = (engine: Engine) => async (): Promise<boolean> =>
  !/Running/i.test(await succeed(engine, ['buildx', 'history', 'ls']))

const CANCELLED = {
  'while the context is sent': {
    dockerfile: 'FROM busybox\nCOPY large /\n',
    files: { large: Buffer.alloc(4 * LARGE_BYTES) },
    more: [],
    mark: /transferring context: [\d.]+[kM]?B/,
  },
  'while a step runs': {
    dockerfile: 'FROM busybox\nRUN echo here; sleep 70001\n',
    files: {},
    more: [],
    mark: /\d here\n/,
  },
  'while the result is fetched': {
    dockerfile: `FROM busybox AS run\nRUN head -c ${2 * LARGE_BYTES} /dev/zero >/large\nFROM scratch\nCOPY --from=run /large /\n`,
    files: {},
    more: ['--output', 'type=local,dest=OUT'],
    mark: /exporting to client directory/,
  },
} as const

for (const road of Object.keys(ROADS) as (keyof typeof ROADS)[])
  test(`builds, ${road}`, async (t) => {
    const engine = await startEngine()
    t.teardown(() => engine.stop())
    const { berth, ways, remote } = await startWays(t, engine, road)
    const byEveryWay = (tell: (way: Way, name: string) => Promise<unknown>) =>
      Promise.all(Object.entries(ways).map(([name, way]) => tell(way, name)))

    const silent = buildContext(
      t,
      `FROM busybox AS run\nRUN sleep ${SILENCE_SECONDS} && echo x >/made\nFROM scratch\nCOPY --from=run /made /\n`,
    ).then((folder) => byEveryWay((way) => made(t, way, [folder])))

    await t.test('ssh: the keys of the user can be used, and are his', async (t) => {
      const [agent, files] = await Promise.all([startAgent(t), sshAdd('root')])
      const folder = await buildContext(t, SSH, files)
      const env = { SSH_AUTH_SOCK: agent.socket }
      await byEveryWay(async (way, name) =>
        t.equal(await made(t, way, ['--ssh', 'default', folder], { env }), agent.listing, name),
      )
    })

    await t.test('a secret in a variable', async (t) => {
      const folder = await buildContext(t, SECRET)
      const env = { HERE: 'hush' }
      await byEveryWay(async (way, name) =>
        t.equal(
          await made(t, way, ['--secret', 'id=word,env=HERE', folder], { env }),
          'hush',
          name,
        ),
      )
    })

    await t.test('results of every kind are as without berth', async (t) => {
      const folder = await buildContext(t, 'FROM busybox\nLABEL a=b\nCOPY word /\n', {
        word: 'read me',
      })
      const archive = async (way: Way) => {
        const ran = await build(way, ['--output', 'type=tar,dest=-', folder])
        t.equal(ran.code, 0, ran.stderr)
        return ran.stdout
      }
      const tar = await archive(ways.direct)
      t.match(tar, 'read me')
      for (const name of ['docker', 'remote'] as const)
        t.equal((await archive(ways[name])).length, tar.length, `a tar, ${name}`)
      for (const more of [
        ['--load', '--tag', 'result'],
        ['--output', 'type=docker,name=result'],
        ['--output', 'type=image,name=result'],
      ]) {
        const about = more.join(' ')
        t.equal((await build(ways.docker, [...more, folder])).code, 0, about)
        const word = ['run', '--rm', 'result', 'cat', '/word']
        t.equal(await succeed(ways.docker.host, word), 'read me', about)
        await succeed(engine, ['rmi', 'result'])
      }
      const written = ['--output', 'type=docker,dest=-', folder]
      const [direct, through] = [
        await build(ways.direct, written),
        await build(ways.docker, written),
      ]
      t.equal(through.code, direct.code, 'to a file, which engines of this kind do not do')
      t.equal(through.stdout.length, direct.stdout.length)
      // what the builder in an engine lacks, whoever asks it
      const lacking = await build(ways.remote, ['--load', folder])
      t.match(lacking, { code: 1, stderr: /exporter "docker" could not be found/ })
    })

    for (const [moment, { dockerfile, files, more, mark }] of Object.entries(CANCELLED))
      await t.test(`ctrl-C ${moment}`, async (t) => {
        const folder = await buildContext(t, dockerfile, files)
        const out = newFolder(t)
        const asked = [...more.map((each) => each.replace('OUT', out)), folder]
        for (const name of ['docker', 'remote'] as const) {
          const { code, said, isStruck } = await interrupt(ways[name], asked, mark)
          t.ok(isStruck, `${name}: it came so far`, { said })
          t.not(code, 0, name)
        }
        if (moment === 'while a step runs')
          await until('stopped', async () => !(await sleeps(engine, '70001')))
      })

    await t.test('two services are built at once', async (t) => {
      const service = (name: string) =>
        `  ${name}: { build: { context: ., args: { N: ${name} } }, image: ${name}-${road} }\n`
      const folder = await buildContext(t, 'FROM busybox\nARG N\nRUN echo $N >/n\nCMD cat /n\n', {
        'compose.yaml': `name: two-${road}\nservices:\n${service('one')}${service('two')}`,
      })
      await succeed(berth, ['compose', '--project-directory', folder, 'build'])
      for (const name of ['one', 'two'])
        t.equal(await succeed(berth, ['run', '--rm', `${name}-${road}`]), `${name}\n`)
    })

    await silent

    await t.test('du, prune and history tell of the same builds', async (t) => {
      const listed = async (host: Host, ...args: string[]) =>
        sorted(await docker(host, ['buildx', ...args]))
      const builds = ['history', 'ls', '--format', '{{.Ref}}']
      const records = ['du', '--format', '{{.ID}} {{.Size}}']
      const ids = ({ stdout }: { stdout: string }) =>
        stdout.split('\n').map((line) => line.split('/').at(-1))
      t.same(ids(await listed(berth, ...builds)), ids(await listed(engine, ...builds)))
      t.same(
        ids(await listed(berth, '--builder', remote, ...builds)),
        ids(await listed(engine, ...builds)),
      )
      t.same(await listed(berth, ...records), await listed(engine, ...records))
      await until('idle', isIdle(engine))
      const pruned = await listed(berth, '--builder', remote, 'prune', '--all', '--force')
      t.match(pruned, { code: 0, stdout: /Total:/ })
      t.equal((await listed(engine, ...records)).stdout.trim(), '')
    })
    t.notMatch(berth.log(), /"level":[56]0/)
  })

const DOMAIN = 'builds.test'

test('builds over TLS, by host key and by certificate, on both roads', async (t) => {
  const engine = await startEngine()
  t.teardown(() => engine.stop())
  const tenancy = await openTenancy(t)
  const listen = ['tls://127.0.0.1:0']
  const berth = await tenancy.serve({ listen, args: ['--domain', DOMAIN] })
  const { port } = new URL(berth.url.replace('tls', 'http'))
  const folder = await buildContext(
    t,
    'FROM busybox AS run\nCOPY word /made\nFROM scratch\nCOPY --from=run /made /\n',
    { word: 'over TLS' },
  )
  nameHosts(t, [DOMAIN])
  for (const policy of Object.values(ROADS)) {
    const { key } = await tenancy.add({ name: policy, endpoint: engine.url, policy, hostKey: {} })
    nameHosts(t, [`${key}.${DOMAIN}`])
    const out = join(tenancy.state, policy)
    const contextOf = async (...args: string[]): Promise<Record<string, string>> =>
      JSON.parse(await tenancy.order('context', policy, ...args, '--json', '--out', out)).env
    const address = ['--address', `tls://${DOMAIN}:${port}`]
    const byKey = await contextOf('--host-key', '--key', key, ...address)
    const byCertificate = await contextOf(...address)
    const remotes = {
      key: [`cacert=${out}/ca.pem`, `${key}.${DOMAIN}`],
      certificate: [`cacert=${out}/ca.pem,cert=${out}/cert.pem,key=${out}/key.pem`, DOMAIN],
    } as const
    for (const [name, env] of Object.entries({ key: byKey, certificate: byCertificate })) {
      const way: Way = { host: '', args: ['buildx', 'build'] }
      t.equal(await made(t, way, [folder], { env }), 'over TLS', `${policy}, ${name}, docker`)
    }
    for (const [name, [options, host]] of Object.entries(remotes)) {
      const builder = `tls-${policy}-${name}`
      const create = ['buildx', 'create', '--name', builder, '--driver', 'remote']
      await succeed('', [...create, '--driver-opt', options, `tcp://${host}:${port}`])
      const way: Way = { host: '', args: ['buildx', '--builder', builder, 'build'] }
      t.equal(await made(t, way, [folder]), 'over TLS', `${policy}, ${name}, remote`)
    }
  }
})
