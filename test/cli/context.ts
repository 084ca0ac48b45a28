/** `berth context`: the files and lines that docker needs, and what is said when they would not work. */
import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { engineFolder } from '../../fixtures/engine.ts'
import { accessOf, shellWord } from '../../src/cli/access.ts'
import { runDocker } from '../../src/cli/docker.ts'
import type { Io } from '../../src/cli/io.ts'
import { mintKey } from '../../src/tenant/key.ts'
import { runProgram } from '../support/program.ts'
import { RecordingEngine } from '../support/recording-engine.ts'
import { freePort } from '../support/redis.ts'
import { openTenancy } from '../support/tenancy.ts'

const QUIET: Omit<Io, 'env'> = { out() {}, err() {}, signal: () => new Promise(() => {}) }

const start = async (t: Test) => {
  const engine = await RecordingEngine.start(t)
  const tenancy = await openTenancy(t)
  const { key, tenant } = await tenancy.add({ name: 'ann', endpoint: engine.url, hostKey: {} })
  // the last one is at an address that its certificate does not have
  const listen = ['tcp://127.0.0.1:0', 'tls://127.0.0.1:0', 'tls://127.0.0.2:0']
  const berth = await tenancy.serve({ listen })
  const [tcp, tls, unnamed] = berth.urls as [string, string, string]
  const out = join(tenancy.state, 'out')
  const context = (...args: readonly string[]) =>
    runProgram({ BERTH_STATE: tenancy.state }, 'context', 'ann', '--out', out, ...args)
  return { engine, tenancy, key, tenant, tcp, tls, unnamed, out, context }
}

test('a certificate is made, written for nobody else to read, and tried', async (t) => {
  const { engine, tenant, tls, out, context } = await start(t)
  const ended = await context('--address', tls, '--lifetime', '12h')
  t.match(ended, { exitCode: 0, err: '' })
  const host = tls.replace('tls', 'tcp')
  const [ca, cert, key] = ['ca.pem', 'cert.pem', 'key.pem'].map((name) => join(out, name))
  t.match(
    ended.out,
    `docker context create ann --docker host=${host},ca=${ca},cert=${cert},key=${key}\n`,
  )
  t.match(ended.out, `export DOCKER_HOST=${host}\nexport DOCKER_TLS_VERIFY=1\n`)
  t.match(ended.out, `export DOCKER_CERT_PATH=${out}\n`)
  for (const file of [ca, cert, key]) t.equal(statSync(file!).mode & 0o777, 0o600)
  const certificate = new X509Certificate(readFileSync(cert!))
  t.match(certificate.subjectAltName, `URI:berth:tenant:${tenant.id}`)
  t.ok(Math.abs(Date.parse(certificate.validTo) - Date.now() - 43_200_000) < 60_000)
  t.equal(engine.requests.length, 1, 'the ping has reached the engine')
})

test('keys go into a header or the host name, and are given by whoever has them', async (t) => {
  const { key, tcp, tls, context } = await start(t)
  const header = await context('--header', '--address', tcp, '--key', key, '--json')
  t.match(JSON.parse(header.out), {
    way: 'header',
    env: { DOCKER_HOST: tcp, DOCKER_CUSTOM_HEADERS: `X-Berth-Key=${key}` },
    files: {},
  })
  const address = tls.replace('127.0.0.1', 'localhost')
  const named = JSON.parse(
    (await context('--host-key', '--address', address, '--key', key, '--json', '--no-check')).out,
  )
  t.equal(named.env.DOCKER_HOST, address.replace('tls://', `tcp://${key}.`))
  t.same(Object.keys(named.files), ['ca'])

  t.match(await context('--header', '--address', tcp), {
    exitCode: 2,
    err: /BERTH_KEY.*rotate ann/,
  })
  t.match(await context('--header', '--address', tcp, '--key', 'x'), {
    exitCode: 2,
    err: /26 of a-z/,
  })
  t.match(await context('--address', tcp), { exitCode: 2, err: /certificates need TLS/ })
  t.match(await context('--host-key', '--address', tls, '--key', key), {
    exitCode: 2,
    err: /is an address/,
  })
  t.match(await context('--header', '--cert'), { exitCode: 2, err: /choose one/ })
  t.match(await context(), { exitCode: 2, err: /--address tls:\/\/NAME:PORT/ })
})

test('what is wrong with an address or a key is named', async (t) => {
  const { tenancy, key, tcp, tls, unnamed, context } = await start(t)
  const closed = await freePort()
  const foreign = await openTenancy(t)
  const foreignAuthority = join(foreign.state, 'ca.pem')
  await runProgram({ BERTH_STATE: foreign.state }, 'ca', 'init')
  const { out: pem } = await runProgram({ BERTH_STATE: foreign.state }, 'ca', 'show', 'listeners')
  writeFileSync(foreignAuthority, pem)

  const port = new URL(tls.replace('tls', 'http')).port
  const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
    [
      'a name nobody knows',
      ['--address', `tls://no-such-name.invalid:${port}`],
      /name is not known|no name server/,
    ],
    [
      'a closed port',
      ['--address', `tls://127.0.0.1:${closed}`],
      /nothing listens there.*--listen/,
    ],
    ['TLS to a TCP listener', ['--address', tcp.replace('tcp', 'tls')], /does not speak TLS/],
    [
      'TCP to a TLS listener',
      ['--header', '--key', key, '--address', tls.replace('tls', 'tcp')],
      /this port speaks TLS/,
    ],
    ['a name not in the certificate', ['--address', unnamed], /is for .*DNS:localhost.*--domain/],
    [
      'another authority',
      ['--address', tls, '--ca', foreignAuthority],
      /not issued by .*--ca FILE/,
    ],
    ['an unknown key', ['--header', '--address', tcp, '--key', mintKey()], /this key is not known/],
  ]
  for (const [what, args, says] of wrong) {
    const ended = await context(...args)
    t.match(ended, { exitCode: 1, err: says }, what)
    t.match(ended.out, 'docker context create ann', 'the lines are printed all the same')
  }
  await tenancy.registry.disable('ann')
  await t.resolves(waitFor(async () => /disabled/.test((await context('--address', tls)).err)))
  await tenancy.registry.remove('ann')
  t.match(await context('--address', tls), { exitCode: 1, err: /no such tenant: "ann"/ })
})

const waitFor = async (holds: () => Promise<boolean>): Promise<void> => {
  for (const deadline = Date.now() + 5000; Date.now() < deadline; ) if (await holds()) return
  throw new Error('it never was so')
}

test('addresses are written as they are read, and sockets have a way in too', async (t) => {
  const { context } = await start(t)
  const port = await freePort()
  t.match(await context('--address', `tls://[::1]:${port}`), {
    exitCode: 1,
    err: `berth: tls://[::1]:${port}: `,
  })
  t.match(await context('--address', 'unix:///run/berth.sock'), {
    exitCode: 2,
    err: /DOCKER_HOST to it and DOCKER_CUSTOM_HEADERS to X-Berth-Key=KEY/,
  })
})

test('the address comes from berth.yaml where it says one', async (t) => {
  const tenancy = await openTenancy(t)
  await tenancy.add({ name: 'ann', endpoint: 'default' })
  await runProgram({ BERTH_STATE: tenancy.state }, 'ca', 'init')
  const env = {
    BERTH_STATE: tenancy.state,
    BERTH_LISTEN: 'tcp://0.0.0.0:2375,tls://0.0.0.0:2376',
    BERTH_DOMAIN: 'berth.example.com',
  }
  const args = ['context', 'ann', '--no-check', '--json', '--out', join(tenancy.state, 'out')]
  const ended = await runProgram(env, ...args)
  t.match(JSON.parse(ended.out), { env: { DOCKER_HOST: 'tcp://berth.example.com:2376' } })
})

test('--create makes a context, renews it, and leaves one for something else alone', async (t) => {
  const { tenancy, key, tls, out } = await start(t)
  const address = tls.replace('127.0.0.1', 'localhost')
  const env = {
    BERTH_STATE: tenancy.state,
    BERTH_KEY: key,
    PATH: `${await engineFolder()}/usr/bin`,
    DOCKER_CONFIG: join(tenancy.state, 'docker'),
  }
  const create = (...args: readonly string[]) =>
    runProgram(env, 'context', 'ann', '--create', '--no-check', '--out', out, ...args)
  const kept = async (): Promise<string> =>
    runDocker({ ...QUIET, env }, ['context', 'export', 'ann', '-'])

  t.match(await create('--address', address), { exitCode: 0, err: '' })
  const certificate = () => readFileSync(join(out, 'cert.pem'), 'utf8')
  const first = certificate()
  t.match(await kept(), /"Host":"tcp:\/\/localhost:/)
  t.match(await kept(), first, 'with the certificate')
  t.match(await create('--address', address), { exitCode: 0, err: '' })
  t.not(certificate(), first)
  t.match(await kept(), certificate(), 'with the new certificate')
  t.match(await create('--address', address, '--host-key'), { exitCode: 0, err: '' })
  t.match(await kept(), `"Host":"tcp://${key}.localhost:`, 'the same door, by another way in')
  t.match(await create('--address', address), { exitCode: 0, err: '' }, 'and back')

  t.match(await create('--address', 'tls://elsewhere.example.com:1'), {
    exitCode: 1,
    err: /has a context "ann" already, for tcp:\/\/localhost:\d+; remove it/,
  })
  t.match(await kept(), /"Host":"tcp:\/\/localhost:/)
})

test('words are quoted for the shell, and fields for CSV', async (t) => {
  t.equal(shellWord('host=tcp://a:1,ca=/x/ca.pem'), 'host=tcp://a:1,ca=/x/ca.pem')
  t.equal(shellWord("it's"), "'it'\\''s'")
  const { create } = accessOf({
    name: 'a',
    door: { kind: 'tls', host: '::1', port: 1 },
    way: 'certificate',
    key: undefined,
    folder: '/a,b',
    files: { ca: '/a,b/ca.pem' },
  })
  t.equal(create.at(-1), 'host=tcp://[::1]:1,"ca=/a,b/ca.pem"')
})
