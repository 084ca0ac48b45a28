/** Who is not a docker client: browsers, names that DNS could rebind, TLS and HTTP/2 where there is none. */
import { test } from 'tap'
import { PREFACE } from '../../src/accept/sniff.ts'
import { startFront } from '../support/front.ts'
import { rawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

test('web pages are refused before anything is read of their body', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  for (const field of [
    'Origin: http://evil.example',
    'Sec-Fetch-Site: cross-site',
    'Origin: null',
  ]) {
    const client = rawClient(t, url)
    client.send(
      `POST /v1.44/build?remote=http://evil.example HTTP/1.1\r\nHost: localhost\r\n${field}\r\nContent-Length: 9\r\n\r\n`,
    )
    t.equal(await client.ended(), 'fin')
    t.same(client.statuses, [403])
    t.match(client.text, /web pages/)
  }
  t.same(engine.requests, [])
})

test('an anonymous listener answers to names that cannot be rebound', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  for (const [host, status] of [
    ['localhost:2375', 200],
    ['', 200],
    ['tenant.localhost', 200],
    ['d', 200],
    ['evil.example', 403],
    ['127.0.0.1.evil.example', 403],
  ] as const) {
    const client = rawClient(t, url)
    client.send(`GET /_ping HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    await client.ended()
    t.same(client.statuses, [status], host)
  }
})

test('bytes that are no HTTP/1 are answered readably, and the connection ends', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const hello = Buffer.from('16030100a5010000a10303', 'hex').toString('latin1')
  for (const [bytes, says] of [
    [hello + '\0'.repeat(100), /tls/],
    ['PRI * HTTP/2.0\r\n\r\nGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n', /not HTTP/],
    ['PRI * HTTP/1.1\r\nHost: d\r\n\r\n', /not HTTP/],
    ['\0\xffSMB', /not HTTP/],
  ] as const) {
    for (const size of [1, 4, bytes.length]) {
      const client = rawClient(t, url)
      for (let at = 0; at < bytes.length; at += size)
        await client.sendPieces([bytes.slice(at, at + size)])
      t.equal(await client.ended(), 'fin', JSON.stringify(bytes.slice(0, 20)))
      t.equal(client.statuses.length, 1)
      t.match(client.text, says)
    }
  }
  t.same(engine.requests, [])
})

test('no part of an HTTP/2 connection is taken for HTTP/1', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const settings = '\0\0\0\x04\0\0\0\0\0'
  const client = rawClient(t, url)
  client.send(`${PREFACE}${settings}GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n`)
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.same(engine.requests, [])
})
