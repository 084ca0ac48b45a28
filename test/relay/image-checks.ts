/** Images that may not run, on an engine that fails just when they are looked at, or gives their names to others. */
import { type Test, test } from 'tap'
import { createApi } from '../support/api.ts'
import { fence } from '../support/fenced.ts'
import { type Recorded, RecordingEngine } from '../support/recording-engine.ts'

const idOf = (digit: string): string => `sha256:${digit.repeat(64)}`
const GOOD = idOf('a')
const BAD = idOf('b')
const CONTAINER = 'c'.repeat(64)
const YAML =
  'profile: strict\npolicies: { strict: { images: ["r.example.com/good/*"], localImages: false } }'

type Said = readonly [status: string, value: unknown]

const OK = '200 OK'
const FAILS: Said = ['500 Internal Server Error', { message: 'out of order' }]
const REMOVED: Said = ['204 No Content', undefined]

/** What comes when `r.example.com/good/app` is pulled. */
const PULLED = [`Digest: ${idOf('d')}`, 'Status: Downloaded newer image for r.example.com/good/app']
  .map((status) => `${JSON.stringify({ status })}\n`)
  .join('')

const json = ([status, value]: Said): string => {
  const body = value === undefined ? '' : JSON.stringify(value)
  const length = status.startsWith('204') ? '' : `Content-Length: ${body.length}\r\n`
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\n${length}\r\n${body}`
}
const chunked = (body: string): string =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`

const made = (Image: string, Status = 'created') =>
  [OK, { Id: CONTAINER, Image, Config: { Image: 'app' }, State: { Status } }] as const

/** An engine of one image and one container; what a test says goes before the usual. */
const startEngine = async (t: Test, said: (request: Recorded) => Said | undefined) => {
  const engine = await RecordingEngine.start(t)
  const usual = ({ method, target }: Recorded): Said => {
    if (target.includes('/images/')) return [OK, { Id: GOOD }]
    if (method === 'DELETE') return REMOVED
    if (method === 'POST' && target.endsWith('/containers/create'))
      return ['201 Created', { Id: CONTAINER, Warnings: [] }]
    return target.endsWith('/volumes/create') ? ['201 Created', {}] : REMOVED
  }
  engine.answer = async ({ request, socket, whole }) => {
    await whole
    const isPull = request.target.includes('/images/create')
    socket.write(isPull ? chunked(PULLED) : json(said(request) ?? usual(request)))
  }
  const api = createApi(await fence(t, engine, YAML))
  t.teardown(() => api.close())
  await api.call('POST', '/v1.43/images/create?fromImage=r.example.com/good/app&tag=1')
  engine.clear()
  const asked = (method: string): readonly string[] =>
    engine.requests.filter((one) => one.method === method).map(({ target }) => target)
  return { engine, api, asked }
}

const isLook = ({ method, target }: Recorded): boolean =>
  method === 'GET' && target.includes('/containers/')

const REMOVAL = `/v1.43/containers/${CONTAINER}?force=1&v=1`

test('a container is removed whose image may not run, or cannot be told', async (t) => {
  const rows: readonly (readonly [look: Said, status: number])[] = [
    [made(BAD), 403],
    [FAILS, 502],
    [[OK, { Config: 'x'.repeat(5 << 20) }], 502],
  ]
  for (const [look, status] of rows) {
    const { api, asked } = await startEngine(t, (one) => (isLook(one) ? look : undefined))
    t.match(await api.call('POST', '/v1.43/containers/create', { Image: 'app' }), { status })
    t.strictSame(asked('DELETE'), [REMOVAL])
  }
  const { api, asked } = await startEngine(t, (one) => (isLook(one) ? made(GOOD) : undefined))
  t.match(await api.call('POST', '/v1.43/containers/create', { Image: 'app' }), { status: 201 })
  t.strictSame(asked('DELETE'), [])
})

test('a removal that fails is tried again, and then told', async (t) => {
  let left = 1
  const { api, asked } = await startEngine(t, (one) => {
    if (isLook(one)) return made(BAD)
    return one.method === 'DELETE' && left-- > 0 ? FAILS : undefined
  })
  const create = () => api.call('POST', '/v1.43/containers/create', { Image: 'app' })
  t.match(await create(), { status: 403 })
  t.strictSame(asked('DELETE'), [REMOVAL, REMOVAL])
  left = 2
  const { status, body } = await create()
  t.equal(status, 502)
  t.match(
    JSON.parse(body.toString()).message,
    new RegExp(`app was not pulled.*Remove it yourself: docker rm -f ${CONTAINER}`),
  )
})

test('a tag that moves while volumes are made is seen before anything is made of it', async (t) => {
  let id = GOOD
  const { api, asked } = await startEngine(t, ({ target }) => {
    if (target.endsWith('/volumes/create')) id = BAD
    return target.includes('/images/') ? [OK, { Id: id }] : undefined
  })
  const body = { Image: 'app', HostConfig: { Binds: ['/home/me:/x'] } }
  t.match(await api.call('POST', '/v1.43/containers/create', body), { status: 403 })
  t.match(asked('POST'), [/volumes\/create/])
  t.equal(asked('POST').length, 1)
})

test('what has never run is looked at before it does, and started by its id', async (t) => {
  const rows: readonly (readonly [look: Said, status: number])[] = [
    [made(BAD), 403],
    [made(GOOD), 204],
    [made(BAD, 'exited'), 204],
    [['404 Not Found', {}], 404],
    [FAILS, 502],
  ]
  for (const [look, status] of rows)
    for (const route of ['start', 'restart']) {
      const { api, asked } = await startEngine(t, (one) => (isLook(one) ? look : undefined))
      t.match(await api.call('POST', `/v1.43/containers/mine/${route}`), { status })
      const started = status === 204 ? [`/v1.43/containers/${CONTAINER}/${route}`] : []
      t.strictSame(asked('POST'), started)
    }
})

test('where any image may run, nothing is looked at', async (t) => {
  const engine = await RecordingEngine.start(t)
  const api = createApi(await fence(t, engine))
  t.teardown(() => api.close())
  await api.call('POST', '/v1.43/containers/mine/start')
  t.match(engine.requests, [{ target: '/v1.43/containers/mine/start' }])
  t.equal(engine.requests.length, 1)
})
