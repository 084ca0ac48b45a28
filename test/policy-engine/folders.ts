/** The container by which folders are made in a volume: it leaves nothing behind, and is no use to who learns of it. */
import { test } from 'tap'
import type { Release } from '../../fixtures/engine.ts'
import { folderTar } from '../../src/relay/folder-tar.ts'
import { type Create, helperOf } from '../../src/relay/prepare.ts'
import { createApi } from '../support/api.ts'
import { leavings, startFenced } from '../support/fenced.ts'
import { startFront } from '../support/front.ts'
import { type Answer, answerWith, RecordingEngine } from '../support/recording-engine.ts'

const YAML = `profile: hard
policies: { hard: { runAs: 10001, onlyCapabilities: [CHOWN] } }
plans: { default: { memory: 32m, cpus: 0.5, pids: 8 } }`
const PATH = '/v1.51/containers/create'
const BINDS = { Binds: ['/home/me/app:/app', '/home/me/data:/data'] }

const answer = (status: number, body = ''): Answer =>
  answerWith(`HTTP/1.1 ${status} X\r\nContent-Length: ${body.length}\r\n\r\n${body}`)

/** Answers as an engine does, but for the DELETE of the container. */
const asEngine =
  (removal: Answer): Answer =>
  (asked) => {
    const { method, target } = asked.request
    if (method === 'DELETE') return removal(asked)
    if (method === 'PUT') return answer(200)(asked)
    return answer(201, target.includes('/containers/') ? '{"Id":"abc"}' : '{}')(asked)
  }

/** What a create with binds makes of an engine that removes as it is told. */
const prepared = async (t: Parameters<typeof startFront>[0], removal: Answer) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = asEngine(removal)
  const api = createApi(await startFront(t, engine.url, { profile: 'hard', file: YAML }))
  t.teardown(() => api.close())
  const answered = await api.call('POST', PATH, { Image: 'own', HostConfig: BINDS })
  return { engine, answered }
}

test('it has the limits of the policy, and is removed with its volumes', async (t) => {
  const { engine, answered } = await prepared(t, answer(204))
  t.equal(answered.status, 201)
  const [helper, own] = engine.requests.filter(({ target }) => target === PATH)
  const body: Create = JSON.parse(helper!.body)
  t.match(body, {
    Image: 'own',
    User: '10001:10001',
    Entrypoint: ['/dev/null'],
    HostConfig: {
      NetworkMode: 'none',
      CapAdd: [],
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges=true'],
      Memory: 32 << 20,
      MemorySwap: 32 << 20,
      NanoCpus: 5e8,
      PidsLimit: 8,
    },
  })
  t.match(JSON.parse(own!.body), { Image: 'own', User: '10001:10001' })
  t.match(
    engine.requests.filter(({ method }) => method === 'DELETE').map(({ target }) => target),
    ['/v1.51/containers/abc?force=1&v=1'],
  )
})

test('where it cannot be removed the create says so, unless it is gone', async (t) => {
  for (const status of [404, 409])
    t.match(await prepared(t, answer(status)), { answered: { status: 201 } }, `${status}`)
  const { answered } = await prepared(t, answer(500, 'busy'))
  t.match([answered.status, answered.body.toString()], [502, /container abc.*could not be removed/])
})

test('folders are made, and nothing is left, whatever volumes the image brings', async (t) => {
  const fenced = await startFenced(t, { yaml: YAML })
  const { direct, through } = fenced
  await direct.json('POST', '/containers/create?name=base', { Image: 'busybox' })
  const changes = encodeURIComponent('VOLUME /anonymous')
  await direct.json('POST', `/commit?container=base&repo=own&changes=${changes}`, {})
  const before = await leavings(fenced)
  const { Id } = await through.json<{ Id: string }>('POST', PATH, {
    Image: 'own',
    Cmd: ['ls', '-d', '/app', '/data'],
    Tty: true,
    HostConfig: BINDS,
  })
  await through.json('POST', `/containers/${Id}/start`)
  t.match(await through.json('POST', `/containers/${Id}/wait`), { StatusCode: 0 })
  await through.json('DELETE', `/containers/${Id}?v=1`)
  const left = (await leavings(fenced)).filter((name) => !before.includes(name))
  t.strictSame(left, ['volume berth-files'])

  const filters = encodeURIComponent('{"all":["true"],"label!":["other"]}')
  await direct.json('POST', '/volumes/create', { Name: 'unused' })
  const { VolumesDeleted } = await through.json<{ VolumesDeleted: string[] }>(
    'POST',
    `/volumes/prune?filters=${filters}`,
  )
  t.strictSame(VolumesDeleted, ['unused'], 'no prune takes the files')

  const tooNew = PATH.replace('v1.51', 'v1.60')
  const answered = await through.call('POST', tooNew, { Image: 'own', HostConfig: BINDS })
  t.match(
    [answered.status, answered.body.toString()],
    [400, /^\{"message":"client version 1.60 is too new/],
  )
})

for (const release of ['current', 'old'] satisfies Release[])
  test(`whoever starts it starts nothing (${release} engine)`, async (t) => {
    const { direct } = await startFenced(t, { release })
    await direct.json('POST', '/volumes/create', { Name: 'files' })
    const { Id } = await direct.json<{ Id: string }>(
      'POST',
      '/containers/create',
      helperOf({ Image: 'busybox', User: '10001:10001' }, 'files'),
    )
    const put = (path: string) =>
      direct.call('PUT', `/containers/${Id}/archive?path=${path}`, folderTar(['a/b']))
    t.match(await put('/berth'), { status: 200 }, 'it can be written through')
    t.not((await put('/')).status, 200, 'but nothing of its own')
    const start = await direct.call('POST', `/containers/${Id}/start`)
    t.match([start.status, start.body.toString()], [400, /\/dev\/null.*permission denied/])
    t.match(await put('/berth'), { status: 200 })
    t.match(await direct.call('DELETE', `/containers/${Id}?force=1&v=1`), { status: 204 })
  })
