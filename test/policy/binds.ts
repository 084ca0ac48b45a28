import { test } from 'tap'
import { isPath, parseBind } from '../../src/policy/binds.ts'
import { judgeBody } from '../../src/policy/body.ts'
import { CREATE } from '../../src/policy/create.ts'
import { definePolicies, PROFILE_POLICIES } from '../../src/policy/effective.ts'
import { type Terms, withTerms } from '../../src/policy/policy.ts'

const LABELS = new Map([['berth.tenant', 'one']])
const TERMS: Terms = { volume: 'files', labels: LABELS, api: [1, 51] }
const dedicated = withTerms(PROFILE_POLICIES.dedicated, TERMS)

const send = (host: object, policy = dedicated) => {
  const body = new TextEncoder().encode(JSON.stringify({ Image: 'a', HostConfig: host }))
  const judged = judgeBody(policy, CREATE, body)
  const { HostConfig } = JSON.parse(new TextDecoder().decode(judged.bytes))
  return { ...judged, binds: HostConfig.Binds, mounts: HostConfig.Mounts }
}

const own = (target: string, subpath: string, more = {}) => ({
  Type: 'volume',
  Source: 'files',
  Target: target,
  ...more,
  VolumeOptions: { NoCopy: true, Subpath: subpath },
})

test('a path becomes a place in a volume of the tenant, which is made first', async (t) => {
  const { binds, mounts, preparations, warnings } = send({
    Binds: ['/home/u/./app//conf/:/conf:ro', 'data:/data', '/anonymous'],
  })
  t.strictSame(binds, ['data:/data', '/anonymous'])
  t.strictSame(mounts, [own('/conf', 'home/u/app/conf', { ReadOnly: true })])
  t.strictSame(preparations, [
    { kind: 'volume', name: 'files', labels: LABELS, options: { size: '0' } },
    { kind: 'subpath', volume: 'files', path: 'home/u/app/conf' },
  ])
  t.match(warnings, [/home\/u.*not the directory of that name on your machine.*docker cp/])
})

test('a mount of type bind is the same, in whatever order the keys come', async (t) => {
  const bind = {
    Type: 'bind',
    Source: '/srv/x',
    Target: '/x',
    BindOptions: { Propagation: 'rshared' },
  }
  t.strictSame(send({ Mounts: [bind] }).mounts, [own('/x', 'srv/x')])
  const volume = { Type: 'volume', Source: 'v', Target: '/v' }
  const both = send({ Mounts: [volume, bind], Binds: ['/srv/y:/y'] })
  t.strictSame(both.mounts, [volume, own('/x', 'srv/x'), own('/y', 'srv/y')])
  t.strictSame(both.binds, [])
})

test('an engine without subpaths gets one volume for each path', async (t) => {
  const old = withTerms(dedicated, { ...TERMS, api: [1, 41] })
  const { mounts, preparations } = send({ Binds: ['/a_b/c.d:/x', '/a/b:/y'] }, old)
  t.strictSame(
    mounts.map((mount: { Source: string }) => mount.Source),
    ['files.a_5f_b.c_2e_d', 'files.a.b'],
  )
  t.notMatch(JSON.stringify(mounts), /Subpath/)
  t.ok(preparations.every((one) => one.kind === 'volume'))
})

test('paths of Windows keep their drive', async (t) => {
  const places = (source: string) =>
    send({ Binds: [`${source}:/x`] }).mounts[0].VolumeOptions.Subpath
  t.equal(places('C:\\Users\\me\\app'), 'c/Users/me/app')
  t.equal(places('d:/work'), 'd/work')
  t.equal(places('//c/Users/me'), 'c/Users/me')
  t.equal(places('\\\\wsl$\\Debian\\home'), 'wsl$/Debian/home')
})

const HOST_PATHS = [
  '/',
  '//',
  '/.//',
  '/etc',
  '/etc/',
  '/etc/shadow',
  '/proc',
  '/proc/1/root',
  '/sys',
  '/dev/sda',
  '/run/x',
  '/var/run/docker.sock',
  '/run/docker.sock',
  '/home/u/docker.sock',
  '/var/lib/docker/volumes',
  '/boot',
]
const NOT_PATHS = [
  '/a/../../etc',
  '..',
  '../x',
  './x',
  '~/x',
  '/a\tb',
  'C:\\..\\x',
  '/a\\b',
  'a b',
  '@x',
  `/${'x'.repeat(2000)}`,
  `/${'x'.repeat(256)}`,
]

test('places of the host, and what could lead out of the volume, are refused in both forms', async (t) => {
  for (const source of [...HOST_PATHS, ...NOT_PATHS]) {
    t.throws(() => send({ Binds: [`${source}:/x`] }), { code: 'POLICY_DENIED' }, `-v ${source}`)
    const mount = { Type: 'bind', Source: source, Target: '/x' }
    t.throws(() => send({ Mounts: [mount] }), { code: 'POLICY_DENIED' }, `--mount ${source}`)
  }
  t.throws(() => send({ Binds: ['/var/run/docker.sock:/x'] }), {
    message: /HostConfig\.Binds\[0\].*the engine's socket is the engine/,
  })
  for (const source of ['/etc/localtime', '/etc/timezone'])
    t.throws(() => send({ Binds: [`${source}:${source}:ro`] }), { message: /-e TZ=/ }, source)
})

test('a file that compose mounts for a secret is refused, with the way that works', async (t) => {
  const mount = { Type: 'bind', Source: '/home/u/s.txt', Target: '/run/secrets/s', ReadOnly: true }
  t.throws(() => send({ Mounts: [mount] }), { message: /secrets: NAME: environment: VARIABLE/ })
  t.throws(() => send({ Binds: ['/home/u/s.txt:/run/secrets/s:ro'] }), { message: /environment/ })
  t.doesNotThrow(() => send({ Binds: ['secrets:/run/secrets/s:ro'] }), 'a volume is a volume')
})

test('modes and specs that the engine would read otherwise are refused', async (t) => {
  for (const spec of ['v:/x:rshared', 'v:/x:exec', 'v:/x:ro:rw', '/a:/b:/c:d', 'a:b:c:d']) {
    t.throws(() => send({ Binds: [spec] }), { code: 'POLICY_DENIED' }, spec)
  }
  t.doesNotThrow(() => send({ Binds: ['v:/x:ro,z,nocopy'] }))
})

test('where paths are refused the message says what to use', async (t) => {
  const strict = withTerms(definePolicies({ mine: { binds: 'deny' } }).mine!, TERMS)
  t.throws(() => send({ Binds: ['/home/u:/x'] }, strict), {
    message: /Use a named volume: -v NAME/,
  })
  t.doesNotThrow(() => send({ Binds: ['data:/x'] }, strict))
  t.throws(() => send({ Binds: ['/home/u:/x'] }, withTerms(dedicated, {})), {
    code: 'POLICY_DENIED',
  })
})

test('what the operator offers is mounted read-only, by its name', async (t) => {
  const offering = withTerms(
    definePolicies({ mine: { sharedMounts: { models: '/srv/models' } } }).mine!,
    TERMS,
  )
  const mount = {
    Type: 'bind',
    Source: '/srv/models',
    Target: '/m',
    ReadOnly: true,
    BindOptions: { Propagation: 'rprivate', NonRecursive: true },
  }
  t.strictSame(send({ Binds: ['/berth/models:/m:rw'] }, offering).mounts, [mount])
  t.strictSame(send({ Mounts: [{ ...mount, ReadOnly: false }] }, offering).mounts, [mount])
  t.strictSame(send({ Binds: ['/berth/other:/m'] }, offering).mounts, [own('/m', 'berth/other')])
  t.strictSame(send({ Binds: ['/srv/models/x:/m'] }, offering).mounts, [own('/m', 'srv/models/x')])
  const speaking = (minor: number) => withTerms(offering, { ...TERMS, api: [1, minor] })
  t.strictSame(send({ Binds: ['/berth/models:/m'] }, speaking(40)).mounts, [mount])
  t.throws(() => send({ Binds: ['/berth/models:/m'] }, speaking(39)), {
    message: /HostConfig\.Binds\[0\] = "\/berth\/models:\/m".*before API 1\.40/,
  })
})

test('a bind comes apart as the engine takes it apart', async (t) => {
  t.strictSame(parseBind('/a:/b:ro,z'), { source: '/a', target: '/b', modes: ['ro', 'z'] })
  t.strictSame(parseBind('/b'), { source: '', target: '/b', modes: [] })
  t.equal(parseBind('a:b:c:d'), undefined)
  t.ok(['/a', './a', '..', '~', 'c:\\a', '\\\\a'].every(isPath))
  t.notOk(isPath('volume'))
})
