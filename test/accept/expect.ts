/** `Expect: 100-continue`: the body is asked for once, and only when somebody is there to take it. */
import { test } from 'tap'
import { startFront } from '../support/front.ts'
import { rawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
const load = (fields: string): string =>
  `POST /v1.44/images/load HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\n${fields}\r\n`

test('the body is asked for once the engine has the request', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  for (const [fields, body] of [
    ['Content-Length: 5\r\n', 'hello'],
    ['Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n'],
  ] as const) {
    engine.clear()
    const client = rawClient(t, url)
    client.send(load(fields))
    await client.read(CONTINUE)
    t.equal(engine.connections > 0, true, 'an engine connection is there')
    client.send(body)
    await client.until('an answer', ({ statuses }) => statuses.includes(200))
    t.equal(client.text.split(CONTINUE).length, 2, 'it was asked for once')
    t.equal(engine.requests[0]?.body, 'hello')
    t.same(engine.requests[0]?.complaints, [], 'Expect goes no further')
  }
})

test('without an engine nobody is asked for a body', async (t) => {
  const url = await startFront(t, 'unix:///nowhere/engine.sock')
  const client = rawClient(t, url)
  client.send(load('Content-Length: 5\r\n'))
  t.equal(await client.ended(), 'fin')
  t.same(client.statuses, [502])
})

test('an engine that answers at once is not followed by an invitation', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const client = rawClient(t, url)
  client.send(load('Content-Length: 0\r\n'))
  await client.until('an answer', ({ responses }) => responses.length > 0)
  t.same(client.statuses, [200], 'no body, no 100')
})

test('a judged body is asked for before the engine is: it is not for the engine yet', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const client = rawClient(t, url)
  client.send(
    'POST /v1.44/volumes/create HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n',
  )
  await client.read(CONTINUE)
  t.same(engine.requests, [])
  client.send('{}')
  await client.until('an answer', ({ statuses }) => statuses.includes(200))
  t.equal(engine.requests[0]?.body, '{}')
})

test('other expectations are refused', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const client = rawClient(t, url)
  client.send(load('Content-Length: 5\r\n').replace('100-continue', '200-maybe'))
  t.equal(await client.ended(), 'fin')
  t.same(client.statuses, [417])
  t.same(engine.requests, [])
})
