/** Engines behind TLS, over HTTP/1.1 and HTTP/2, and builders beside them: docker ends as it does without berth. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { docker, type Host, startDocker } from '../../fixtures/docker.ts'
import { type Engine, startEngine } from '../../fixtures/engine.ts'
import { createApi } from '../support/api.ts'
import { type Berth, launchBerth, startBerth } from '../support/berth.ts'
import { alike, succeed } from '../support/docker.ts'
import { engineCertificates } from '../support/engine-certificates.ts'
import { startTlsFront, type TlsFront } from '../support/tls-front.ts'

const MIB = 1 << 20
const run = promisify(execFile)
const CURL = { encoding: 'buffer', maxBuffer: 64 * MIB } as const

const portOf = (url: string): number => Number(new URL(url.replace(/^\w+/, 'http')).port)

/** A new folder, however many the test has. */
const folderOf = (t: Test): string => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-tls-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A berth with this berth.yaml, for one tenant whom nobody asks. */
const serve = async (t: Test, yaml: string, profile = 'open'): Promise<Berth> => {
  const file = join(folderOf(t), 'berth.yaml')
  writeFileSync(file, yaml)
  const berth = await launchBerth({ args: ['--anonymous', '--profile', profile, '--config', file] })
  t.teardown(() => berth.stop())
  return berth
}

interface Chain {
  readonly engine: Engine
  readonly front: TlsFront
  readonly berth: Berth
}

/** berth -> TLS -> berth -> engine: to the first one, the second is an engine that speaks HTTP/2. */
const startChain = async (t: Test, profile = 'open'): Promise<Chain> => {
  const engine = await startEngine()
  t.teardown(() => engine.stop())
  const inner = await startBerth({ engine: engine.url, args: ['--profile', 'open'] })
  t.teardown(() => inner.stop())
  const front = await startTlsFront(t, portOf(inner.url))
  const ca = join(folderOf(t), 'ca.pem')
  writeFileSync(ca, front.certificates.ca)
  const berth = await serve(t, `engine: { url: "${front.url}", ca: ${ca} }\n`, profile)
  return { engine, front, berth }
}

/** An image of so many bytes, by way of the engine itself. */
const makeImage = async (engine: Engine, name: string, bytes: number): Promise<void> => {
  const script = `head -c ${bytes} /dev/urandom >/noise`
  await succeed(engine, ['run', '--name', name, 'busybox', 'sh', '-c', script])
  await succeed(engine, ['commit', name, name])
  await succeed(engine, ['rm', name])
}

test('docker, over HTTP/2', async (t) => {
  const chain = await startChain(t)
  const { engine, front, berth } = chain
  const input = randomBytes(150_000).toString('hex')
  const commands: readonly (readonly string[])[] = [
    ['version'],
    ['info'],
    ['ps', '--all'],
    ['inspect', 'busybox'],
    ['inspect', 'no-such-thing'],
    ['run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3'],
    ['run', '--rm', 'busybox', 'no-such-command'],
    ['run', '-i', '--rm', 'busybox', 'wc', '-c'],
    ['logs', 'no-such-container'],
  ]
  for (const args of commands)
    await alike(t, chain, `docker ${args.join(' ')}`, (host) => docker(host, args, { input }))

  await alike(t, chain, 'the life of a container', async (host, name) => {
    const said: unknown[] = []
    const script = 'for i in 1 2 3; do echo $i; sleep 0.1; done'
    await succeed(host, ['run', '-d', '--name', name, 'busybox', 'sh', '-c', script])
    said.push(await succeed(host, ['logs', '-f', name]), await succeed(host, ['wait', name]))
    await succeed(host, ['run', '-d', '--init', '--name', `${name}2`, 'busybox', 'sleep', '1000'])
    said.push(await docker(host, ['exec', '-i', `${name}2`, 'cat'], { input }))
    const folder = t.testdir({ sent: 'file' })
    await succeed(host, ['cp', `${folder}/sent`, `${name}2:/sent`])
    await succeed(host, ['cp', `${name}2:/sent`, `${folder}/back`])
    said.push(readFileSync(`${folder}/back`, 'utf8'))
    await succeed(host, ['rm', '-f', name, `${name}2`])
    return said
  })

  await alike(t, chain, 'an image that is built, saved and loaded', async (host, name) => {
    const folder = t.testdir({ Dockerfile: `FROM busybox\nRUN echo made >/made\nCMD cat /made\n` })
    await succeed(host, ['build', '--tag', name, folder])
    const saved = join(folder, 'image.tar')
    await succeed(host, ['save', '--output', saved, name])
    await succeed(host, ['rmi', name])
    await succeed(host, ['load', '--input', saved])
    return succeed(host, ['run', '--rm', name])
  })

  t.ok(front.count('h2') > 0, 'HTTP/2 was spoken')
  t.ok(front.count('http/1.1') > 0, 'and HTTP/1.1 where a connection stops being HTTP')
  const before = [front.count('h2'), front.count('http/1.1')]
  await succeed(berth, ['ps'])
  t.strictSame([front.count('h2'), front.count('http/1.1')], before, 'connections are shared')
  t.notMatch(berth.log(), /"level":[56]0/)
  t.equal(await succeed(engine, ['ps', '--all', '--quiet']), '')
})

test('requests that are judged, over HTTP/2', async (t) => {
  const { front, berth } = await startChain(t, 'dedicated')
  const mounted = ['run', '--rm', '--volume', '/data/of/mine:/data', 'busybox']
  await succeed(berth, [...mounted, 'sh', '-c', 'echo kept >/data/file'])
  const again = await docker(berth, [...mounted, 'cat', '/data/file'])
  t.match(again, { code: 0, stdout: 'kept\n', stderr: /WARNING/ }, 'volumes, folders, warnings')
  t.match(await docker(berth, ['run', '--rm', '--privileged', 'busybox']), {
    code: 125,
    stderr: /berth: not allowed here: HostConfig\.Privileged/,
  })
  const labels = Array.from({ length: 6 }, (_, i) => ['--label', `l${i}=${'x'.repeat(30_000)}`])
  const create = ['create', '--name', 'long', ...labels.flat(), 'busybox']
  await succeed(berth, create)
  const length = '{{len (index .Config.Labels "l5")}}'
  t.equal(await succeed(berth, ['inspect', '--format', length, 'long']), '30000\n', 'a long body')
  t.ok(front.count('h2') > 0)
})

test('an answer whose end only the stream tells reaches every kind of client', async (t) => {
  const { engine, berth } = await startChain(t)
  await succeed(engine, ['create', '--name', 'some', 'busybox'])
  const where = `${berth.url.replace('tcp', 'http')}/v1.44/containers/some/export`
  const sizes = new Set<number>()
  for (const version of ['--http1.0', '--http1.1', '--http2-prior-knowledge']) {
    const { stdout } = await run('curl', ['--silent', '--fail', version, where], CURL)
    t.equal(stdout.readUInt16BE(257), 0x7573, 'it is a tar')
    sizes.add(stdout.length)
  }
  t.equal(sizes.size, 1)
})

test('a connection that is lost in the middle is an error, and only there', async (t) => {
  const { engine, front, berth } = await startChain(t)
  await makeImage(engine, 'noise', 60 * MIB)
  const save = await startDocker(berth, ['save', 'noise'])
  const stderr = text(save.stderr)
  await once(save.stdout, 'data')
  save.stdout.pause()
  for (const socket of front.alive('h2')) socket.destroy()
  save.stdout.resume()
  const [code] = await once(save, 'close')
  t.not(code, 0)
  t.not(await stderr, '', 'docker says that something is missing')
  t.match(await docker(berth, ['ps']), { code: 0 }, 'others go on, on another connection')

  const source = await startDocker(engine, ['save', 'noise'])
  const [beginning] = await once(source.stdout, 'data')
  source.kill('SIGKILL')
  const load = await startDocker(berth, ['load'])
  const closed = once(load, 'close')
  load.stdout.resume()
  load.stderr.resume()
  load.stdin.on('error', () => {})
  load.stdin.write(beginning)
  await delay(300)
  t.equal(load.exitCode, null, 'the engine waits for the rest of the image')
  for (const socket of front.alive('h2')) socket.destroy()
  t.not((await closed)[0], 0, 'an upload too')
  load.stdin.end()
  t.match(await docker(berth, ['ps']), { code: 0 })
})

test('fifty at once share a connection', async (t) => {
  const { front, berth } = await startChain(t)
  await succeed(berth, ['ps'])
  const before = front.count('h2')
  const clients = Array.from({ length: 50 }, () => createApi(berth.url))
  t.teardown(() => clients.map((client) => client.close()))
  const answers = await Promise.all(clients.map((client) => client.json('GET', '/info')))
  for (const answer of answers) t.match(answer, { OSType: 'linux' })
  t.equal(front.count('h2'), before)
})

/** Bytes of memory that a process holds. */
const residentSize = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024

test('a large image passes in both directions, and no memory with it', async (t) => {
  const { engine, berth } = await startChain(t)
  await makeImage(engine, 'noise', 200 * MIB)
  await succeed(berth, ['ps'])
  const start = residentSize(berth.pid)
  let highest = start
  const sampler = setInterval(() => {
    highest = Math.max(highest, residentSize(berth.pid))
  }, 50)
  t.teardown(() => clearInterval(sampler))
  const save = await startDocker(berth, ['save', 'noise'])
  const load = await startDocker(berth, ['load'])
  const [said] = await Promise.all([text(load.stdout), pipeline(save.stdout, load.stdin)])
  clearInterval(sampler)
  t.equal(said, 'Loaded image: noise:latest\n')
  const grown = Math.round((highest - start) / MIB)
  t.ok(grown < 96, `memory grew by ${grown} MiB`)

  const reader = connect(portOf(berth.url), '127.0.0.1')
  t.teardown(() => reader.destroy())
  reader.write('GET /images/get?names=noise HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(reader, 'data')
  reader.pause()
  const asleep = residentSize(berth.pid)
  await delay(1000)
  t.ok(residentSize(berth.pid) - asleep < 16 * MIB, 'a reader that does not read stops the engine')
  await succeed(berth, ['ps'])
})

/** Reaches a port of an engine's own network from here: by way of a unix socket, which networks do not divide. */
const reachInside = async (t: Test, engine: Engine, port: number): Promise<number> => {
  const folder = folderOf(t)
  const path = join(folder, 'inside.sock')
  const stop = join(folder, 'stop')
  const script = `const net = require('net'), fs = require('fs')
    net.createServer({ allowHalfOpen: true }, (a) => {
      const b = net.connect({ port: ${port}, host: '127.0.0.1', allowHalfOpen: true })
      a.on('error', () => b.destroy()); b.on('error', () => a.destroy())
      a.pipe(b).pipe(a)
    }).listen(${JSON.stringify(path)})
    setInterval(() => fs.existsSync(${JSON.stringify(stop)}) && process.exit(), 50)`
  const inside = engine.inside(process.execPath, '-e', script).catch(() => '')
  const server = createServer({ allowHalfOpen: true }, (outer) => {
    const inner = connect({ path, allowHalfOpen: true })
    outer.on('error', () => inner.destroy())
    inner.on('error', () => outer.destroy())
    outer.pipe(inner).pipe(outer)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.close()
    writeFileSync(stop, '')
    await inside
  })
  while (!(await canConnect(path))) await delay(20)
  return (server.address() as AddressInfo).port
}

const canConnect = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => socket.end() && resolve(true)).once('error', () => resolve(false))
  })

test('an engine that verifies who comes', async (t) => {
  const certificates = await engineCertificates(t)
  const foreign = await engineCertificates(t)
  const folder = folderOf(t)
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  const shown = await certificates.server()
  const [mine, wrong] = await Promise.all([certificates.dialler(), foreign.dialler()])
  const ca = file('ca.pem', certificates.ca)
  const engine = await startEngine({
    flags: [
      ...['--tlsverify', '--tlscacert', ca, '--host', 'tcp://127.0.0.1:2376'],
      ...['--tlscert', file('server.pem', shown.certificate)],
      ...['--tlskey', file('server.key', shown.key)],
    ],
  })
  t.teardown(() => engine.stop())
  const url = `tls://127.0.0.1:${await reachInside(t, engine, 2376)}`
  const certificate = file('mine.pem', mine.certificate)
  const key = file('mine.key', mine.key)
  const berth = await serve(
    t,
    `engine: { url: "${url}", ca: ${ca}, certificate: ${certificate}, key: ${key} }\n`,
  )
  const input = randomBytes(100_000).toString('hex')
  for (const args of [
    ['ps'],
    ['run', '-i', '--rm', 'busybox', 'sh', '-c', 'wc -c; head -c 300000 /dev/zero'],
    ['run', '--rm', 'busybox', 'sh', '-c', 'exit 3'],
  ])
    await alike(t, { engine, berth }, args.join(' '), (host) => docker(host, args, { input }))

  const strangers: Readonly<Record<string, readonly [yaml: string, says: RegExp]>> = {
    'without a certificate': [`ca: ${ca}`, /wants a client certificate/],
    "with somebody else's": [
      `ca: ${ca}, certificate: ${file('w.pem', wrong.certificate)}, key: ${file('w.key', wrong.key)}`,
      /does not accept the client certificate/,
    ],
    'with the wrong authority': [`ca: ${file('f.pem', foreign.ca)}`, /issued by none of the/],
  }
  for (const [name, [yaml, says]] of Object.entries(strangers)) {
    const other = await serve(t, `engine: { url: "${url}", ${yaml} }\n`)
    const { code, stderr } = await docker(other, ['ps'])
    t.equal(code, 1, name)
    t.match(stderr, says, name)
    t.match(stderr, /berth: the engine cannot be reached/, name)
  }
})

/** A buildkitd: an engine's own, with the engine's API out of the way. Resolves to its port. */
const startBuilder = async (t: Test, engine: Engine, built: () => void): Promise<number> => {
  const adopt = (outer: Socket): void => {
    const inner = connect({ path: engine.socket, allowHalfOpen: true })
    outer.on('error', () => inner.destroy())
    inner.on('error', () => outer.destroy())
    inner.write('POST /grpc HTTP/1.1\r\nHost: e\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
    let head = Buffer.alloc(0)
    const read = (bytes: Buffer): void => {
      head = Buffer.concat([head, bytes])
      const end = head.indexOf('\r\n\r\n')
      if (end === -1) return
      inner.off('data', read)
      built()
      outer.write(head.subarray(end + 4))
      inner.pipe(outer).pipe(inner)
    }
    inner.on('data', read)
  }
  const server = createServer({ allowHalfOpen: true }, adopt)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

for (const [profile, kind] of [
  ['open', 'tcp'],
  ['open', 'tls'],
  ['dedicated', 'tcp'],
  ['dedicated', 'tls'],
] as const)
  test(`builds go to a buildkitd of the tenant's own (${profile}, ${kind})`, async (t) => {
    const engine = await startEngine()
    t.teardown(() => engine.stop())
    const builder = await startEngine()
    t.teardown(() => builder.stop())
    let connections = 0
    const port = await startBuilder(t, builder, () => connections++)
    const front = await startTlsFront(t, port)
    const ca = join(folderOf(t), 'ca.pem')
    writeFileSync(ca, front.certificates.ca)
    const build = {
      tcp: `"tcp://127.0.0.1:${port}"`,
      tls: `{ url: "${front.url}", ca: ${ca} }`,
    }[kind]
    const berth = await serve(t, `engine: { url: "${engine.url}", build: ${build} }\n`, profile)
    const folder = t.testdir({
      Dockerfile:
        'FROM busybox AS run\nRUN echo made >/made\nFROM scratch\nCOPY --from=run /made /made\n',
    })
    const name = `remote-${profile}-${kind}`
    await succeed(berth, ['buildx', 'create', '--name', name, '--driver', 'remote', berth.url])
    const out = join(folder, 'out')
    const output = ['--output', `type=local,dest=${out}`]
    await succeed(berth, ['buildx', '--builder', name, 'build', ...output, folder])
    t.equal(readFileSync(join(out, 'made'), 'utf8'), 'made\n')
    t.ok(connections > 0, 'that is where they went')
    t.equal(front.count('h2') > 0, kind === 'tls')
    const cacheOf = async (host: Host): Promise<string> =>
      (await succeed(host, ['system', 'df', '--format', '{{.Type}} {{.TotalCount}}']))
        .split('\n')
        .find((line) => line.startsWith('Build Cache')) ?? ''
    t.equal(await cacheOf(engine), 'Build Cache 0', 'and the engine has built nothing')
    t.not(await cacheOf(builder), 'Build Cache 0')
    await succeed(berth, ['build', folder])
    t.not(await cacheOf(engine), 'Build Cache 0', "docker's own builder is the engine's")
  })
