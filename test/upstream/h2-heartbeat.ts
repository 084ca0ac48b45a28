/** Engines whose framing is broken end their requests, and are dialled anew. */
import { once } from 'node:events'
import type { ClientHttp2Session } from 'node:http2'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { type Test, test } from 'tap'
import { ask } from '../../src/upstream/ask.ts'
import { openSession } from '../../src/upstream/h2.ts'
import { Pool } from '../../src/upstream/pool.ts'
import { engineCertificates } from '../support/engine-certificates.ts'
import { block, END_HEADERS, END_STREAM, frame, TYPE } from '../support/h2-client.ts'

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const ACK = frame(TYPE.SETTINGS, 1, 0)
const GREETING = Buffer.concat([frame(TYPE.SETTINGS, 0, 0), ACK])
const OK = frame(TYPE.HEADERS, END_HEADERS | END_STREAM, 1, block([[':status', '200']]))
/** What nghttp2 answers with a GOAWAY of its own, and node with nothing. */
const BROKEN: Readonly<Record<string, Buffer>> = {
  'SETTINGS of 5 bytes': frame(TYPE.SETTINGS, 0, 0, 'abcde'),
  'DATA on no stream': frame(TYPE.DATA, 0, 0, 'x'),
  'fields that are none': frame(TYPE.HEADERS, END_HEADERS, 1, Buffer.alloc(7, 0xff)),
  'CONTINUATION of nothing': frame(TYPE.CONTINUATION, END_HEADERS, 1, 'x'),
  'HTTP/1.1': Buffer.from('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
}

/** Lets heartbeats be as fast as the test says: each call is one, with time to be answered. */
const metronome = (t: Test): (() => Promise<void>) => {
  const beats: (() => void)[] = []
  const { setInterval: real } = globalThis
  const fake = (beat: () => void, ms: number) => {
    if (ms === 10_000) beats.push(beat)
    return real(() => {}, 60_000)
  }
  globalThis.setInterval = fake as typeof setInterval
  t.teardown(() => {
    globalThis.setInterval = real
  })
  return async () => {
    for (const beat of beats) beat()
    await later(30)
  }
}

/** @returns the port of a server that lives as long as the test */
const listen = async (t: Test, server: Server): Promise<number> => {
  const sockets: Socket[] = []
  server.on('connection', (socket) => sockets.push(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const openAt = async (t: Test, port: number): Promise<ClientHttp2Session> => {
  const address = { kind: 'tcp', host: '127.0.0.1', port } as const
  const session = await openSession({ kind: 'buildkitd', address })
  t.teardown(() => session.destroy())
  return session
}

test('requests over TLS', { timeout: 20_000 }, async (t) => {
  const certificates = await engineCertificates(t)
  const { certificate: cert, key } = await certificates.server()
  const beat = metronome(t)
  for (const [name, broken] of Object.entries(BROKEN)) {
    let connections = 0
    const server = createTlsServer({ cert, key, ALPNProtocols: ['h2'] }, (socket) => {
      const says = ++connections === 1 ? broken : OK
      socket.on('error', () => {}).resume()
      socket.write(GREETING)
      setTimeout(() => socket.write(says), 30)
    })
    const port = await listen(t, server)
    const pool = new Pool({ kind: 'tls', host: '127.0.0.1', port, ca: certificates.ca })
    t.teardown(() => pool.close())
    const asked = ask(pool, { method: 'POST', target: '/x' })
    const lost = t.rejects(asked, { code: 'ENGINE_GONE' }, `${name}: what was under way ends`)
    await later(100)
    for (let i = 0; i < 3; i++) await beat()
    await lost
    const { status } = await ask(pool, { method: 'POST', target: '/x' })
    t.same([status, connections], [200, 2], `${name}: what comes next is asked on another`)
  }
})

test('calls of gRPC', { timeout: 20_000 }, async (t) => {
  const beat = metronome(t)
  const server = createServer((socket) => {
    socket.resume().write(GREETING)
    setTimeout(() => socket.write(BROKEN['DATA on no stream']!), 30)
  })
  const session = await openAt(t, await listen(t, server))
  const stream = session.request({ ':method': 'POST', ':path': '/x' })
  const closed = new Promise((resolve) => stream.on('error', () => {}).once('close', resolve))
  await later(100)
  for (let i = 0; i < 3; i++) await beat()
  await closed
  t.equal(session.destroyed, true)
})

test('an engine that acknowledges is waited for, however long it takes to answer', {
  timeout: 20_000,
}, async (t) => {
  const beat = metronome(t)
  const server = createServer((socket) => {
    socket.write(GREETING)
    socket.on('data', (bytes) => {
      if (bytes[3] === TYPE.SETTINGS && bytes[4] === 0) socket.write(ACK)
    })
  })
  const session = await openAt(t, await listen(t, server))
  session.request({ ':method': 'POST', ':path': '/x' }).on('error', () => {})
  await later(100)
  for (let i = 0; i < 10; i++) await beat()
  t.equal(session.destroyed, false)
})
