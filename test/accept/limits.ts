/** What a client may take its time for, and what not. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { test } from 'tap'
import { startFront } from '../support/front.ts'
import { RawClient, rawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

const PING = 'GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n'
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

test('a head has its time from its first byte, however it is fed', {
  timeout: 20_000,
}, async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, { headSeconds: 1, idleSeconds: 60 })
  const beginnings = ['G', 'P', 'PR', 'GET /_pi', `${PING}GET /_ping HTTP/1.1\r\nHost`]
  const clients = beginnings.map((beginning) => rawClient(t, url).send(beginning))
  const dripping = rawClient(t, url)
  const drip = setInterval(() => dripping.send('G'), 100)
  const silent = rawClient(t, url)
  const started = performance.now()
  for (const client of [...clients, dripping]) {
    t.equal(await client.ended(), 'fin')
    t.equal(client.statuses.at(-1), 408)
  }
  clearInterval(drip)
  t.ok(performance.now() - started < 5000)
  t.equal(silent.end, undefined, 'a connection that has said nothing is idle, not slow')
  t.equal(engine.requests.length, 1)
})

test('the time of a head does not run before its first byte', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, { headSeconds: 1 })
  const clients = ['P', 'PO', 'POST /v1.44/containers/x/start'].map((beginning) => {
    const client = rawClient(t, url)
    return { client, beginning, rest: 'POST /v1.44/containers/x/start'.slice(beginning.length) }
  })
  await pause(2500)
  for (const { client, beginning } of clients) client.send(beginning)
  await pause(600)
  for (const { client, rest } of clients) client.send(`${rest} HTTP/1.1\r\nHost: d\r\n\r\n`)
  for (const { client } of clients) {
    await client.until('an answer', ({ responses }) => responses.length > 0)
    t.same(client.statuses, [200])
  }
})

test('an idle connection is closed, a busy one never', { timeout: 20_000 }, async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, { headSeconds: 1, idleSeconds: 1 })
  engine.answer = async ({ request, socket }) => {
    if (request.target.endsWith('build')) return
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    if (request.target.endsWith('events')) return
    socket.write('0\r\n\r\n')
  }
  const following = rawClient(t, url).send('GET /v1.44/events HTTP/1.1\r\nHost: d\r\n\r\n')
  const uploading = rawClient(t, url).send(
    'POST /v1.44/build HTTP/1.1\r\nHost: d\r\nContent-Length: 10\r\n\r\nhello',
  )
  const silent = rawClient(t, url)
  const used = rawClient(t, url).send(PING)
  t.equal(await silent.ended(), 'fin')
  t.equal(await used.ended(), 'fin')
  t.same(used.statuses, [200])
  await pause(1500)
  t.equal(following.end, undefined, 'a stream that says nothing for long is not cut')
  t.equal(uploading.end, undefined, 'nor is a body that does not move')
})

test('heads have limits, and say so', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const heads = [
    `GET /_ping HTTP/1.1\r\nHost: d\r\n${'X: y\r\n'.repeat(100)}\r\n`,
    `GET /_ping HTTP/1.1\r\nHost: d\r\nX: ${'a'.repeat(50_000)}\r\n\r\n`,
    `GET /_ping HTTP/1.1\r\nHost: d\r\nX: ${'a'.repeat(40_000)}\r\nY: ${'a'.repeat(40_000)}\r\n\r\n`,
    `GET /v1.44/info?${'a'.repeat(70_000)} HTTP/1.1\r\nHost: d\r\n\r\n`,
  ]
  for (const head of heads) {
    const client = rawClient(t, url)
    client.send(head + PING)
    t.equal(await client.ended(), 'fin')
    t.same(client.statuses, [431])
  }
  t.same(engine.requests, [])
})

test('more connections than there may be are told so, and room is made by those that leave', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, { connections: 2 })
  const first = rawClient(t, url).send(PING)
  const second = rawClient(t, url).send(PING)
  await first.read('OK')
  await second.read('OK')
  const third = rawClient(t, url)
  await third.ended()
  t.same(third.statuses, [503])
  first.destroy()
  await pause(50)
  const fourth = rawClient(t, url).send(PING)
  await fourth.read('OK')
  t.pass('there is room again')
})

/**
 * In a thread of its own, so that its request is there before this one accepts it. It reads byte by byte: libuv takes
 * a reset for an end where it comes behind a read that did not fill its buffer.
 */
const ASKS = `
  const { parentPort, workerData: { port, request, asked } } = require('node:worker_threads')
  let text = ''
  let end = 'fin'
  const callback = (count, buffer) => { text += buffer.toString() }
  const onread = { buffer: Buffer.alloc(1), callback }
  const socket = require('node:net').connect({ port, host: '127.0.0.1', onread })
  socket.on('error', ({ code }) => { end = code })
  socket.on('close', () => parentPort.postMessage({ text, end }))
  socket.on('connect', () => socket.write(request, () => {
    Atomics.store(asked, 0, 1)
    Atomics.notify(asked, 0)
  }))`

test('who is turned away reads why, whatever it has sent', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, { connections: 1 })
  await rawClient(t, url).send(PING).read('OK')
  const { port } = new URL(url.replace('tcp:', 'http:'))
  const load = `POST /v1.44/images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 10000\r\n\r\n`
  for (const request of [PING, load + 'x'.repeat(10_000)]) {
    const asked = new Int32Array(new SharedArrayBuffer(4))
    const workerData = { port: Number(port), request, asked }
    const worker = new Worker(ASKS, { eval: true, execArgv: [], workerData })
    Atomics.wait(asked, 0, 0, 5000)
    const [{ text, end }] = await once(worker, 'message')
    t.match([end, text], ['fin', /^HTTP\/1.1 503 /])
  }
  t.equal(engine.requests.length, 1)
})

test('who is turned away is not waited for', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, { connections: 1 })
  const first = rawClient(t, url).send(PING)
  await first.read('OK')
  const started = performance.now()
  const crowd = Array.from({ length: 300 }, () => new RawClient(url))
  t.teardown(() => {
    for (const client of crowd) client.destroy()
  })
  for (const client of crowd) await client.ended()
  const drips = setInterval(() => {
    for (const client of crowd) client.send('x')
  }, 20)
  first.destroy()
  await pause(50)
  const next = rawClient(t, url).send(PING)
  await next.read('OK')
  t.pass('there is room for who comes meanwhile')
  for (const client of crowd)
    await client.until('a reset', ({ end, isClosed }) => end === 'reset' || isClosed, 3000)
  clearInterval(drips)
  t.ok(performance.now() - started < 3000)
})

test('a thousand connections come and go, and none is counted twice', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, { connections: 60 })
  for (let round = 0; round < 20; round++) {
    const clients = Array.from({ length: 50 }, () => new RawClient(url))
    for (const [nth, client] of clients.entries()) client.send(nth % 3 === 0 ? PING : 'GET /_p')
    await Promise.all(clients.filter((_, nth) => nth % 3 === 0).map((client) => client.read('OK')))
    for (const [nth, client] of clients.entries()) {
      if (nth % 2 === 0) client.reset()
      else client.destroy()
    }
    await Promise.all(clients.map((client) => client.until('a close', ({ isClosed }) => isClosed)))
    await pause(10)
  }
  await rawClient(t, url).send(PING).read('OK')
  t.pass()
})
