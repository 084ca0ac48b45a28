/** `berth tenant`: what operators type, what they read, and what the shell learns. */
import { spawnSync } from 'node:child_process'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { openRecords } from '../../src/cli/tenancy.ts'
import { createRegistry } from '../../src/tenant/registry.ts'
import { startFront } from '../support/front.ts'
import { type Ended, runProgram } from '../support/program.ts'
import { RecordingEngine } from '../support/recording-engine.ts'
import { startRedis } from '../support/redis.ts'
import { openTenancy } from '../support/tenancy.ts'
import { startTlsFront } from '../support/tls-front.ts'

const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))

/** Commands on records of the test's own. */
const office = (t: Test) => {
  const env = { BERTH_STATE: t.testdir() }
  const tenant = (...args: readonly string[]): Promise<Ended> => runProgram(env, 'tenant', ...args)
  const json = async (...args: readonly string[]) => {
    const { exitCode, out, err } = await tenant(...args, '--json')
    if (exitCode !== 0) throw new Error(err)
    return JSON.parse(out)
  }
  return { env, tenant, json }
}

test('a tenant is added; its key is printed once and never again', async (t) => {
  const { tenant, json } = office(t)
  const added = await json('add', 'ann', '--endpoint', 'unix:///run/a.sock', '--label', 'laptop')
  t.match(added, {
    id: /^[a-z2-7]{16}$/,
    name: 'ann',
    key: /^[a-z2-7]{26}$/,
    endpoint: 'unix:///run/a.sock',
    policy: 'dedicated',
    plan: 'default',
    disabled: false,
    createdAt: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
    keys: [{ id: /^[0-9a-f]{12}$/, label: 'laptop', standing: 'good' }],
  })
  t.same(Object.keys(added).slice(0, 3), ['id', 'name', 'key'])
  const everything = [
    await tenant('show', 'ann'),
    await tenant('list'),
    await tenant('show', 'ann', '--json'),
    await tenant('list', '--json'),
  ]
  for (const { exitCode, out } of everything) {
    t.equal(exitCode, 0)
    t.match(out, 'ann')
    t.notMatch(out, added.key)
  }

  const spoken = await tenant('add', 'ben')
  t.match(spoken.out, /^ {2}[a-z2-7]{26}$/m, 'people see it too')
  t.match(spoken.out, 'cannot be shown again')
})

test('an endpoint is an address or a name', async (t) => {
  const { tenant, json } = office(t)
  t.match(await json('add', 'a', '--endpoint', 'tcp://10.0.0.7:2375'), { endpoint: /^tcp:/ })
  t.match(await json('add', 'e', '--endpoint', 'tls://e:2376'), { endpoint: 'tls://e:2376' })
  t.match(await json('add', 'b', '--endpoint', 'gpu-box.1'), { endpoint: 'gpu-box.1' })
  t.match(await json('add', 'c'), { endpoint: 'default' })
  for (const endpoint of ['tcp://10.0.0.7', 'unix://relative', 'http://a', 'a b', '']) {
    const { exitCode, err } = await tenant('add', 'd', '--endpoint', endpoint)
    t.equal(exitCode, 2, endpoint)
    t.match(err, /^berth: .*endpoint.*\n?$/, endpoint)
  }
  t.match(await json('change', 'c', '--endpoint', 'unix:///x'), { endpoint: 'unix:///x' })
  t.match(await json('change', 'c', '--endpoint', 'tls://[::1]:1'), { endpoint: 'tls://[::1]:1' })
})

test('a tenant is served by an engine behind TLS whose authority the system knows', async (t) => {
  const engine = await RecordingEngine.start(t)
  const front = await startTlsFront(t, Number(new URL(await startFront(t, engine.url)).port))
  const tenancy = await openTenancy(t)
  const ca = join(tenancy.state, 'engines-ca.pem')
  writeFileSync(ca, front.certificates.ca)
  const { key } = JSON.parse(
    await tenancy.order('tenant', 'add', 'ann', '--endpoint', front.url, '--json'),
  )
  const berth = await tenancy.serve({ env: { NODE_EXTRA_CA_CERTS: ca } })
  await tenancy.order('context', 'ann', '--header', '--key', key, '--address', berth.url)
  t.equal(engine.requests.length, 1, 'its ping has reached the engine')
})

test('keys in host names need leave, which has limits and can be taken back', async (t) => {
  const { tenant, json } = office(t)
  const cidrs = ['192.0.2.0/24', '2001:db8::/32']
  t.match(
    await json('add', 'ann', '--host-key', '--host-key-cidr', ...cidrs, '--host-key-expires', '1d'),
    { hostKey: { cidrs, expiresAt: String } },
  )
  t.match((await tenant('show', 'ann')).out, '192.0.2.0/24, 2001:db8::/32 until')
  t.notOk('hostKey' in (await json('change', 'ann', '--no-host-key')))
  t.same((await json('change', 'ann', '--host-key')).hostKey, {})
  t.match(await tenant('change', 'ann', '--host-key-expires', '1d'), {
    exitCode: 2,
    err: /--host-key/,
  })
  t.match(await tenant('change', 'ann', '--host-key', '--host-key-cidr', 'x'), { exitCode: 2 })
  t.match(await tenant('change', 'ann'), { exitCode: 2, err: /nothing to change/ })
})

test('keys are rotated with an overlap, and revoked by id or by themselves', async (t) => {
  const { tenant, json } = office(t)
  const first = await json('add', 'ann')
  const second = await json('rotate', 'ann', '--overlap', '1h', '--label', 'new', '--expires', '2d')
  t.not(second.key, first.key)
  t.match(second.keys, [
    { id: first.keys[0].id, expiresAt: String },
    { label: 'new', expiresAt: String },
  ])
  t.match(await json('revoke', 'ann', '--key', first.keys[0].id), { keys: [{ label: 'new' }] })
  t.same((await json('revoke', 'ann', '--key', second.key)).keys, [])
  t.match(await tenant('revoke', 'ann', '--key', second.key), {
    exitCode: 1,
    err: /no such key; berth tenant show ann/,
  })
  t.match(await tenant('revoke', 'ann'), { exitCode: 2, err: /--key ID, or --certificates/ })
  t.match(await tenant('revoke', 'ann', '--certificates'), { exitCode: 0 })
  await json('rotate', 'ann')
  t.equal((await json('rotate', 'ann', '--overlap', '0s')).keys.length, 1)
})

test('removal asks for --yes while somebody could come in', async (t) => {
  const { tenant, json } = office(t)
  await json('add', 'ann')
  t.match(await tenant('remove', 'ann'), { exitCode: 2, err: /1 key and .*--yes/ })
  t.match(await tenant('show', 'ann'), { exitCode: 0 })
  t.match(await tenant('remove', 'ann', '--yes'), { exitCode: 0 })
  await json('add', 'ann')
  t.match(await json('disable', 'ann'), { disabled: true })
  t.match(await tenant('remove', 'ann'), { exitCode: 0 })
  t.match(await tenant('show', 'ann'), { exitCode: 1, err: /^berth: no such tenant: "ann"/ })
})

test('lists of any length are printed page by page, by name', async (t) => {
  const { env, tenant, json } = office(t)
  t.match((await tenant('list')).out, 'berth tenant add')
  t.same(await json('list'), [])
  const names = Array.from({ length: 230 }, (_, i) => `t${String(i).padStart(3, '0')}`)
  const { store, seal } = await openRecords({ state: env.BERTH_STATE, store: undefined })
  const registry = createRegistry({ store, seal, now: Date.now, onForged: () => undefined })
  for (const name of names)
    await registry.add({ name, endpoint: 'default', policy: 'open', plan: 'default' })
  await store.close()
  t.same(
    (await json('list')).map(({ name }: { name: string }) => name),
    names,
  )
  const lines = (await tenant('list')).out.split('\n')
  t.match(lines[0], /^NAME +STATE +KEYS/)
  t.equal(lines.length, 231)
})

test('every wrong use is answered by one sentence that names the cure', async (t) => {
  const { env, tenant } = office(t)
  await tenant('add', 'ann')
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['add', 'ann'], 1, /^berth: this tenant name is taken: "ann"; choose another one$/],
    [['add', 'Ann B'], 2, /must be 1 to 40 of a-z/],
    [['add', 'a'.repeat(26)], 2, /looks like a key/],
    [['add', 'default'], 2, /the name "default" is that of docker's own context/],
    [['show', 'default'], 1, /no such tenant: "default"/],
    [['add'], 2, /missing required argument 'name'/],
    [['add', 'b', '--expires', 'soon'], 2, /Write it as 90d, 12h, 30m or 45s/],
    [['add', 'b', '--policy', 'a b'], 2, /the policy "a b" must be/],
    [
      ['add', 'b', '--expires', '999999999w'],
      2,
      /the end of the key is after the year 9999; choose/,
    ],
    [
      ['rotate', 'ann', '--overlap', '999999999w'],
      2,
      /the end of the overlap is after the year 9999/,
    ],
    [
      ['add', 'b', '--host-key', '--host-key-expires', '999999w'],
      2,
      /the end of the host key is after the year 9999/,
    ],
    [['disable', 'nobody'], 1, /no such tenant: "nobody" \(berth tenant list shows all\)/],
    [['frobnicate'], 2, /unknown command 'frobnicate'/],
    [['list', '--store', 'mysql://x'], 2, /the store URL cannot be used: it must start with lmdb/],
    [['list', '--store', 'redis://127.0.0.1:1'], 1, /the store cannot be reached.*--store/],
    [['list', '--state', '/dev/null/x'], 2, /cannot be written.*--state DIR/],
    [['list', '--config', '/no/such/file'], 2, /\/no\/such\/file/],
  ]
  for (const [args, exitCode, says] of cases) {
    const ended = await tenant(...args)
    t.match(ended, { exitCode, out: '', err: says }, args.join(' '))
  }
  t.equal((await tenant('list')).exitCode, 0, 'nothing of it was written')
  t.match(await runProgram({ ...env, BERTH_STORR: 'x' }, 'tenant', 'list'), {
    exitCode: 2,
    err: /BERTH_STORR: there is no such setting/,
  })
})

test('who is given what the configuration does not have is served nothing: the operator hears of it', async (t) => {
  const { tenant } = office(t)
  const file = join(t.testdir(), 'berth.yaml')
  writeFileSync(
    file,
    'policies: { ci: { extends: dedicated } }\nplans: { small: {} }\nendpoints: { lab: tcp://127.0.0.1:1 }\n',
  )
  const right = ['--policy', 'ci', '--plan', 'small', '--endpoint', 'lab', '--config', file]
  t.match(await tenant('add', 'ann', ...right), { exitCode: 0, err: '' })
  const wrong = ['--policy', 'cj', '--plan', 'smal', '--endpoint', 'labs', '--config', file]
  for (const what of [
    ['add', 'ben'],
    ['change', 'ann'],
  ]) {
    const { exitCode, err } = await tenant(...what, ...wrong)
    t.equal(exitCode, 0, 'a berth elsewhere may have them')
    t.match(err, /no endpoint is called "labs" in this configuration \(there are default, lab\)/)
    t.match(err, /no policy is called "cj" .* \(there are dedicated, shared, open, ci\)/)
    t.match(err, /no plan is called "smal" .* \(there are default, small\).*answers 503/)
  }
  writeFileSync(file, 'policies: { ci: { extends: none } }\n')
  t.match(await tenant('add', 'cid', '--config', file), { exitCode: 2, out: '', err: /policies/ })
  t.match(await tenant('show', 'cid'), { exitCode: 1 }, 'nothing was written')
})

test('a state folder may have any name', async (t) => {
  const folder = join(t.testdir(), 'a 100% #1? %41')
  t.equal((await runProgram({ BERTH_STATE: folder }, 'tenant', 'add', 'ann')).exitCode, 0)
  t.same(readdirSync(folder).sort(), ['secret', 'store'])
})

test('a store is not opened with the secret of another', async (t) => {
  const redis = await startRedis(t)
  const store = `redis://127.0.0.1:${redis.port}`
  const folder = t.testdir()
  const one = { BERTH_STATE: join(folder, 'one'), BERTH_STORE: store }
  const other = { BERTH_STATE: join(folder, 'other'), BERTH_STORE: store }
  t.equal((await runProgram(one, 'tenant', 'add', 'ann')).exitCode, 0)
  t.match(await runProgram(other, 'tenant', 'add', 'ben'), {
    exitCode: 2,
    err: /belong to another secret than .*other\/secret; copy that file/,
  })
  t.equal((await runProgram(one, 'tenant', 'show', 'ann')).exitCode, 0)
})

test('a state folder that cannot be written will do where nothing has to be written to it', async (t) => {
  const redis = await startRedis(t)
  const folder = t.testdir()
  const store = `redis://127.0.0.1:${redis.port}`
  const env = { BERTH_STATE: folder, BERTH_STORE: store }
  t.equal((await runProgram(env, 'tenant', 'add', 'ann')).exitCode, 0)
  const readOnly = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
  const list = (env: Readonly<Record<string, string>>) =>
    spawnSync(
      'unshare',
      ['--mount', 'sh', '-c', readOnly, folder, process.execPath, MAIN, 'tenant', 'list'],
      { env: { PATH: process.env.PATH, ...env }, encoding: 'utf8' },
    )
  t.match(list(env), { status: 0, stdout: /ann/, stderr: '' })
  t.match(list({ BERTH_STATE: folder }), { status: 2, stderr: /cannot be written \(EROFS\)/ })
  rmSync(join(folder, 'secret'))
  t.match(list(env), { status: 2, stderr: /cannot be written \(EROFS\)/ })
})

test('each help says how the command is used', async (t) => {
  const { tenant } = office(t)
  for (const name of [
    'add',
    'list',
    'show',
    'change',
    'rotate',
    'revoke',
    'disable',
    'enable',
    'remove',
  ]) {
    const { exitCode, out } = await tenant(name, '--help')
    t.equal(exitCode, 0)
    for (const word of ['Usage: berth tenant', '--state', '--store', '--json'])
      t.match(out, word, name)
  }
  t.match((await tenant('--help')).out, 'Examples:')
})
