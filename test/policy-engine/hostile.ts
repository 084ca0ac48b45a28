/** Bodies that mean harm, through berth to real engines: none of what `dedicated` denies is ever set. */
import fc from 'fast-check'
import { type Test, test } from 'tap'
import type { Release } from '../../fixtures/engine.ts'
import { type Api, createApi } from '../support/api.ts'
import { fence, startFenced } from '../support/fenced.ts'
import { escapesOf, HOSTILE_CREATE, type Inspected, PLAN_YAML } from '../support/hostile-create.ts'
import { eachOf, many, SEED } from '../support/lanes.ts'

const BODIES = many(2000)
const CREATE = '/containers/create'

/** A container with a null among its limits cannot be inspected, nor removed: engines hang over it for ever. */
const HANGS_AN_ENGINE = /ulimit[sſ]"\s*:[^\]]*null/i
const ESCAPE = /\\u([0-9a-f]{4})/gi
const hangsAnEngine = (body: Buffer): boolean =>
  HANGS_AN_ENGINE.test(
    body.toString().replace(ESCAPE, (_, code) => String.fromCharCode(Number.parseInt(code, 16))),
  )

const STRIP = 'profile: lenient\npolicies: { lenient: { onViolation: strip } }'

interface Outcome {
  readonly status: number
  readonly escapes: readonly string[]
}

/** Sends one body, and looks at what came of it before it is taken away again. */
const outcomeOf = async (
  direct: Api,
  through: Api,
  body: Buffer,
  usual: Inspected,
): Promise<Outcome> => {
  const { status, body: said } = await through.call('POST', CREATE, body)
  if (status !== 201) return { status, escapes: [] }
  const { Id } = JSON.parse(said.toString())
  const container = await direct.json<Inspected>('GET', `/containers/${Id}/json`)
  await direct.call('DELETE', `/containers/${Id}?force=1&v=1`)
  return { status, escapes: escapesOf(container, usual) }
}

/** Where a handler of the engine panics, Go ends the connection without an answer. */
const panicOf = (error: NodeJS.ErrnoException): Outcome => {
  if (error.code !== 'ECONNRESET') throw error
  return { status: 0, escapes: ['a panic'] }
}

const volumesOf = async (direct: Api) => {
  const { Volumes } = await direct.json<{
    Volumes:
      | { Name: string; Driver: string; Options: object | null; Labels: object | null }[]
      | null
  }>('GET', '/volumes')
  return Volumes ?? []
}

const judge = async (t: Test, release: Release, bodies: readonly Buffer[]) => {
  const { engine, direct } = await startFenced(t, { release })
  const networks = await direct.json<{ Id: string; Name: string }[]>('GET', '/networks')
  const hostNetwork = networks.find(({ Name }) => Name === 'host')!.Id.slice(0, 20)
  const aimed = bodies.map((body) =>
    body.includes('HOSTNET')
      ? Buffer.from(body.toString('latin1').replaceAll('HOSTNET', hostNetwork), 'latin1')
      : body,
  )
  await direct.json('POST', `${CREATE}?name=donor`, {
    Image: 'busybox',
    HostConfig: { Binds: ['/:/h'] },
  })
  const { Id } = await direct.json<{ Id: string }>('POST', CREATE, { Image: 'busybox' })
  const usual = await direct.json<Inspected>('GET', `/containers/${Id}/json`)

  // what a body does without berth: some of them have to be as bad as they look
  const harm = new Set<string>()
  await eachOf(aimed.slice(0, 150), async (body) => {
    if (hangsAnEngine(body)) return
    const { escapes } = await outcomeOf(direct, direct, body, usual).catch(panicOf)
    for (const name of escapes) harm.add(name)
  })
  t.ok(harm.size >= 12, `without berth: ${[...harm].toSorted().join(', ')}`)
  for (const { Name } of await volumesOf(direct)) await direct.call('DELETE', `/volumes/${Name}`)

  for (const yaml of ['', STRIP]) {
    const through = createApi(await fence(t, engine, `${yaml}\n${PLAN_YAML}`))
    t.teardown(() => through.close())
    const statuses = new Map<number, number>()
    // those that refuse answer at once; those that strip make a container, which takes an engine longer
    const share = yaml === '' ? aimed : aimed.filter((_, at) => at % 2 === 0)
    await eachOf(share, async (body) => {
      const { status, escapes } = await outcomeOf(direct, through, body, usual)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (status === 502) t.comment(`502: ${body}`)
      if (escapes.length > 0) t.fail(`${escapes.join(', ')}: ${body}`)
    })
    const made = statuses.get(201) ?? 0
    t.ok(
      made >= share.length / (yaml === '' ? 50 : 10),
      `${made} of ${share.length} made a container`,
    )
    t.comment(`${release}, ${yaml === '' ? 'deny' : 'strip'}: ${JSON.stringify([...statuses])}`)
    t.notOk(statuses.get(502), 'none is more than an engine can bear')
  }
  for (const { Name, Driver, Options, Labels } of await volumesOf(direct)) {
    t.equal(Driver, 'local', Name)
    t.strictSame(Options ?? {}, Name.startsWith('berth-files') ? { size: '0' } : {}, Name)
    t.notMatch(JSON.stringify(Labels), /berth\.tenant/)
  }
}

for (const release of ['current', 'old'] satisfies Release[])
  test(`no hostile create gets what it asks for (${release} engine)`, {
    timeout: BODIES * 300,
  }, async (t) => {
    t.comment(`BERTH_SEED=${SEED}`)
    await judge(
      t,
      release,
      fc.sample(HOSTILE_CREATE, { numRuns: BODIES / 2, seed: SEED + release.length }),
    )
  })

test('a limit that is null, over which engines hang, never arrives', async (t) => {
  const { engine, direct, through } = await startFenced(t)
  const lenient = createApi(await fence(t, engine, STRIP))
  t.teardown(() => lenient.close())
  const body = { Image: 'busybox', HostConfig: { Ulimits: [null] } }
  t.ok(hangsAnEngine(Buffer.from(JSON.stringify(body))))
  const { status, body: said } = await through.call('POST', CREATE, body)
  t.match([status, said.toString()], [403, /HostConfig\.Ulimits\[0\]/])
  const { Id } = await lenient.json<{ Id: string }>('POST', CREATE, body)
  const made = await direct.json<{ HostConfig: { Ulimits: unknown[] | null } }>(
    'GET',
    `/containers/${Id}/json`,
  )
  t.strictSame(made.HostConfig.Ulimits ?? [], [])
})

test('a body over which an engine panics is refused', async (t) => {
  const { direct, through } = await startFenced(t)
  const body = { HostConfig: { NetworkMode: 'container:x' } }
  await t.rejects(direct.call('POST', CREATE, body), { code: 'ECONNRESET' })
  const { status, body: said } = await through.call('POST', CREATE, body)
  t.match([status, said.toString()], [400, /berth: .*no Image is named/])
})
