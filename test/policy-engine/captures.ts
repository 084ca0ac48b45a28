/** What real clients sent once: through berth it becomes the same container, or is refused by the name of what is wrong. */
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import { type Fenced, leavings, startFenced } from '../support/fenced.ts'

const FIXTURES = new URL('../../fixtures/create/', import.meta.url)

interface Body {
  readonly Image?: string
  readonly HostConfig: { readonly Binds?: readonly string[] | null }
}

const read = (name: string): Body => JSON.parse(readFileSync(new URL(name, FIXTURES), 'utf8'))

/** Captures that ask for what `dedicated` forbids, and what they ask for first. */
const FORBIDDEN: Readonly<Record<string, RegExp>> = {
  'create-buildx-0.29.1-buildkit-container.json': /HostConfig\.Privileged/,
  'create-buildx-0.29.1-gpu-probe.json': /HostConfig\.DeviceRequests/,
  'create-cli-28.2.2-create-allopts.json': /HostConfig\.Annotations/,
  'create-cli-28.2.2-run-manyopts.json': /HostConfig\.CapAdd\[0\] = "CAP_NET_ADMIN"/,
  'create-compose-2.40.3-allopts.json': /HostConfig\.Binds\[0\].*socket/,
}

const CREATES = readdirSync(FIXTURES).filter(
  (name) => /^create-.*\.json$/.test(name) && read(name).Image !== undefined,
)

/** What `dedicated` sets whether it was asked for or not. */
const forced = ({ Memory }: Inspected['HostConfig']) => ({
  LogConfig: { Type: 'json-file', Config: { 'max-file': '3', 'max-size': '10m' } },
  MemorySwap: Memory,
  CgroupnsMode: 'private',
})

interface Inspected {
  readonly HostConfig: Record<string, unknown> & { readonly Binds: readonly string[] | null }
  readonly Mounts: readonly { readonly Type: string; readonly Destination: string }[]
  readonly [key: string]: unknown
}

const PATH = '/v1.51/containers/create?name=captured'

/** The container that comes of a body, as the engine describes it, but for ids and times. */
const created = async (
  { direct }: Fenced,
  { through }: { through: Fenced['through'] },
  body: Body,
) => {
  const { Id } = await through.json<{ Id: string }>('POST', PATH, body)
  const text = JSON.stringify(await direct.json('GET', `/v1.51/containers/${Id}/json`))
  await direct.json('DELETE', `/containers/${Id}?force=1&v=1`)
  const steady = text
    .replaceAll(Id, 'ID')
    .replaceAll(Id.slice(0, 12), 'ID')
    .replace(/"Created":"[^"]*"/, '"Created":""')
  const { GraphDriver: _, ...container } = JSON.parse(steady)
  return container as Inspected
}

const isPath = (bind: string): boolean => bind.startsWith('/')

test('captures of real clients under dedicated', async (t) => {
  const fenced = await startFenced(t)
  const { direct, through } = fenced
  for (const Name of ['capc_back', 'capc_front', 'pfx_default'])
    await direct.json('POST', '/networks/create', { Name })
  await direct.json('POST', '/containers/create?name=abc', { Image: 'busybox', Cmd: ['true'] })
  const before = await leavings(fenced)

  const allowed = CREATES.filter((name) => FORBIDDEN[name] === undefined)
  t.ok(allowed.length > 10, `${allowed.length} of them ask for nothing forbidden`)
  for (const name of allowed) {
    const body = read(name)
    const without = await created(fenced, { through: direct }, body)
    const { HostConfig, Mounts, ...rest } = await created(fenced, fenced, body)
    const paths = (body.HostConfig.Binds ?? []).filter(isPath)
    const { Mounts: hostMounts, HostConfig: hostConfig, ...hostRest } = without
    t.strictSame(rest, hostRest, name)
    const { Binds, Mounts: sent, ...settings } = HostConfig
    const { Binds: hostBinds, Mounts: _, ...hostSettings } = hostConfig
    t.strictSame(settings, { ...hostSettings, ...forced(hostConfig) }, name)
    t.strictSame(
      Binds ?? [],
      (hostBinds ?? []).filter((bind) => !isPath(bind)),
      name,
    )
    t.equal(
      (sent as unknown[] | undefined)?.length ?? 0,
      paths.length,
      `${name}: paths are confined`,
    )
    const places = (mounts: Inspected['Mounts']) =>
      mounts.map(({ Destination }) => Destination).toSorted()
    t.strictSame(places(Mounts), places(hostMounts), name)
    t.notOk(
      Mounts.some(({ Type }) => Type === 'bind'),
      `${name}: no path of the host`,
    )
  }

  for (const [name, names] of Object.entries(FORBIDDEN)) {
    const { status, body } = await through.call('POST', PATH, read(name))
    t.equal(status, 403, name)
    t.match(JSON.parse(body.toString()).message, names)
  }
  const after = await leavings(fenced)
  const kept = after.filter((name) => !before.includes(name))
  t.strictSame(
    kept,
    ['volume berth-files', 'volume capc_dbdata', 'volume capc_webcache'],
    'what compose itself would keep',
  )
})
