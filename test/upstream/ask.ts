/** Questions of berth's own, over connections that others have used before. */
import { type Test, test } from 'tap'
import { parseEngineAddress } from '../../src/upstream/address.ts'
import { ask } from '../../src/upstream/ask.ts'
import { Pool } from '../../src/upstream/pool.ts'
import { type Answer, RecordingEngine } from '../support/recording-engine.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK'
const GET = { method: 'GET', target: '/v1.44/volumes/v' } as const
const POST = { method: 'POST', target: '/v1.44/volumes/create', body: Buffer.from('{}') } as const

/** Answers the first request of each connection, and ends it without a word at the second. */
const diesAtSecond: Answer = async ({ socket, nth, whole }) => {
  await whole
  if (nth === 1) socket.write(OK)
  else socket.destroy()
}

/** Answers the first request of the first connection, and nothing else. */
const answersFirst: Answer = ({ request, socket, nth }) => {
  if (request.connection === 0 && nth === 1) socket.write(OK)
  else socket.destroy()
}

const start = async (t: Test, answer: Answer) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answer
  const pool = new Pool(parseEngineAddress(engine.url))
  t.teardown(() => pool.close())
  return { engine, pool }
}

test('a look-up on a connection that had died is asked once more', async (t) => {
  const { engine, pool } = await start(t, diesAtSecond)
  t.match(await ask(pool, GET), { status: 200 })
  t.match(await ask(pool, GET), { status: 200 })
  t.same([engine.requests.length, engine.connections], [3, 2])
  t.equal(pool.busy, 0)
})

test('what makes something is asked on a connection that cannot have died', async (t) => {
  const { engine, pool } = await start(t, diesAtSecond)
  await ask(pool, GET)
  t.match(await ask(pool, POST), { status: 200 })
  t.same([engine.requests.length, engine.connections], [2, 2])
  t.equal(pool.busy, 0)
})

test('what makes something is never asked twice', async (t) => {
  const { engine, pool } = await start(t, answersFirst)
  await ask(pool, GET)
  engine.clear()
  await t.rejects(ask(pool, POST), { code: 'ENGINE_GONE' })
  t.equal(engine.requests.length, 1)
  t.equal(pool.busy, 0)
})

test('a look-up is asked once more, not twice, and not where it was heard', async (t) => {
  const { engine, pool } = await start(t, answersFirst)
  await ask(pool, GET)
  engine.clear()
  await t.rejects(ask(pool, GET), { code: 'ENGINE_GONE' })
  t.equal(engine.requests.length, 2)
  engine.clear()
  await t.rejects(ask(pool, GET), { code: 'ENGINE_GONE' })
  t.equal(engine.requests.length, 1, 'nobody had used that connection before')
  t.equal(pool.busy, 0)
})
