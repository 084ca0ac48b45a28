/** Long bodies before their judge: streamed, in slices, and never in anybody else's way. */
import { type Test, test } from 'tap'
import { ROOM } from '../../src/relay/room.ts'
import { fence } from '../support/fenced.ts'
import { type RawClient, rawClient, turn } from '../support/raw-client.ts'
import { answerWith, RecordingEngine } from '../support/recording-engine.ts'

const CREATED = 'HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{"Id":"abc"}'
const PING = 'GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n'
const head = (framing: string): string =>
  `POST /v1.44/containers/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`
const create = (body: string): string => head(`Content-Length: ${body.length}`) + body

/** What costs a reader most: a token for each character or two. */
const dense = (bytes: number): string => `[${'0,'.repeat(bytes / 2)}0]`
const env = (count: number): string =>
  `[${Array.from({ length: count }, (_, at) => `"V${at}=${'x'.repeat(80)}"`).join(',')}]`

const LONG = `{"Image":"a","Env":${env(4000)}`

test('a long body is with the engine before it is over, but for its end', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answerWith(CREATED)
  const client = rawClient(t, await fence(t, engine))
  client.send(head(`Content-Length: ${LONG.length + 1}`) + LONG)
  while ((engine.requests[0]?.body.length ?? 0) < 65_536) await turn()
  t.notMatch(engine.requests[0]?.body, /\}$/)
  t.equal(client.text, '')
  client.send('}')
  await client.until('an answer', ({ statuses }) => statuses[0] === 201)
  const sent = JSON.parse(engine.requests[0]!.body)
  t.equal(sent.Env.length, 4000)
  t.equal(sent.HostConfig.LogConfig.Type, 'json-file')
  t.strictSame(engine.requests[0]?.complaints, [])
})

test('others have their turn while a body is judged', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answerWith(CREATED)
  const url = await fence(t, engine)
  const body = `{"Image":"a","x":${dense(1 << 20)}}`
  const busy = rawClient(t, url).send(create(body))
  await new Promise((resolve) => setTimeout(resolve, 50))
  const other = rawClient(t, url).send(PING)
  await other.until('an answer', ({ statuses }) => statuses.length === 1)
  t.equal(busy.text, '', 'the long one is not over yet')
  await busy.until('an answer', ({ statuses }) => statuses[0] === 201)
  t.equal(engine.requests.at(-1)?.body.includes('0,0'), false, 'and nothing unknown was sent')
})

test('what follows a body in the same packet is answered after it', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answerWith(CREATED)
  const body = `{"Image":"a","x":${dense(20_000)}}`
  const client = rawClient(t, await fence(t, engine)).send(create(body) + PING)
  await client.until('two answers', ({ statuses }) => statuses.length === 2)
  t.equal(engine.requests.length, 2)
})

test('a long body that is refused at last never gets its end', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answerWith(CREATED)
  const url = await fence(t, engine)
  for (const last of [',"HostConfig":{"Privileged":true}}', ',"Image":"b"}', '}}', '']) {
    const client = rawClient(t, url)
    client.send(create(LONG + last))
    if (last === '') client.finish()
    await client.until(
      `an end of ${last}`,
      ({ statuses, end }) => statuses.length > 0 || end !== undefined,
    )
    t.notMatch(client.text, /^HTTP\/1\.1 2/)
  }
  t.ok(engine.requests.every(({ body }) => !body.endsWith('}')))
})

test('a body over the cap is refused, and the cap can be raised', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answerWith(CREATED)
  const body = `{"Image":"a","Env":${env(60_000)}}`
  t.ok(body.length > 4 << 20)
  const refused = rawClient(t, await fence(t, engine)).send(create(body))
  await refused.until('an answer', ({ statuses }) => statuses[0] === 413)
  t.equal(engine.requests.length, 0, 'its length said it all')
  const raised = rawClient(t, await fence(t, engine, 'bodyCap: 64m')).send(create(body))
  await raised.until('an answer', ({ statuses }) => statuses[0] === 201)
  t.equal(JSON.parse(engine.requests[0]!.body).Env.length, 60_000)
})

test('long bodies are let in a few at a time, and short ones at once', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answerWith(CREATED)
  const url = await fence(t, engine)
  const body = `{"Image":"a","x":"${'x'.repeat(4_000_000)}"}`
  const asking = `Content-Length: ${body.length}\r\nExpect: 100-continue`
  const clients = Array.from({ length: 8 }, () => rawClient(t, url).send(head(asking)))
  const invited = () => clients.filter(({ text }) => text.includes('100 Continue'))
  const short = rawClient(t, url).send(create('{"Image":"a"}'))
  await short.until('an answer', ({ statuses }) => statuses.length === 1)
  t.equal(invited().length, 4, 'others are not asked for theirs yet')
  const leaving = clients.findLast((client) => !invited().includes(client))!
  leaving.destroy()
  const served = new Set<RawClient>()
  while (served.size < 7) {
    const client = invited().find((one) => !served.has(one))
    if (client === undefined) {
      await turn()
      continue
    }
    served.add(client.send(body))
    await client.until('an answer', ({ text }) => text.includes('201 Created'))
  }
  t.equal(engine.requests.length, 8)
})

test('a long body that stops half-way gives its room back once its sender has gone', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answerWith(CREATED)
  const url = await fence(t, engine)
  const half = `${head('Transfer-Encoding: chunked')}f4240\r\n{"x":"${'x'.repeat(100_000)}`
  const stuck = Array.from({ length: 4 }, () => rawClient(t, url).send(half))
  await new Promise((resolve) => setTimeout(resolve, 100))
  const body = `{"Image":"a","x":"${'x'.repeat(1_000_000)}"}`
  const waiting = rawClient(t, url).send(create(body))
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(waiting.text, '')
  for (const client of stuck) client.destroy()
  await waiting.until('an answer', ({ statuses }) => statuses[0] === 201)
})

/** Notes down the timers of 30 s that are running. */
const timersOf30s = (t: Test): ReadonlySet<unknown> => {
  const running = new Set<unknown>()
  const { setTimeout: set, clearTimeout: clear } = globalThis
  globalThis.setTimeout = ((then: () => void, ms: number) => {
    const timer = set(then, ms)
    if (ms === 30_000) running.add(timer)
    return timer
  }) as typeof setTimeout
  globalThis.clearTimeout = ((timer: NodeJS.Timeout | undefined) => {
    running.delete(timer)
    clear(timer)
  }) as typeof clearTimeout
  t.teardown(() => Object.assign(globalThis, { setTimeout: set, clearTimeout: clear }))
  return running
}

test('of a long body whose engine is not there, or has gone, nothing is left', async (t) => {
  const timers = timersOf30s(t)
  const engine = await RecordingEngine.start(t)
  engine.answer = ({ socket }) => void socket.destroy()
  const url = await fence(t, engine)
  const fail = async (): Promise<void> => {
    const client = rawClient(t, url).send(create(`${LONG}}`))
    await client.until('an answer', ({ statuses }) => statuses[0] === 502)
  }
  for (let i = 0; i < 5; i++) await fail()
  await engine.stop()
  for (let i = 0; i < 5; i++) await fail()
  t.equal(timers.size, 0, 'nobody waits for the rest of one')
  t.equal(ROOM.used, 0)
})
