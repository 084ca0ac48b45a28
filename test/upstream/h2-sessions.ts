/** Requests as streams of shared connections, against servers of HTTP/2 that follow a script. */
import { once } from 'node:events'
import {
  createSecureServer,
  type Http2SecureServer,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { type Test, test } from 'tap'
import { ask } from '../../src/upstream/ask.ts'
import type { Loss } from '../../src/upstream/connection.ts'
import { type Connection, Pool } from '../../src/upstream/pool.ts'
import { engineCertificates } from '../support/engine-certificates.ts'
import { block, END_HEADERS, END_STREAM, frame, TYPE } from '../support/h2-client.ts'

const CANCEL = 8
const REFUSED_STREAM = 7
const INTERNAL_ERROR = 2
const HEAD = 'GET /x HTTP/1.1\r\nHost: e\r\n\r\n'
const QUESTION = { method: 'GET', target: '/x' } as const

type Script = (stream: ServerHttp2Stream, nth: number) => void

interface Engine {
  readonly pool: Pool
  readonly server: Http2SecureServer
  readonly sessions: ServerHttp2Session[]
  readonly sockets: TLSSocket[]
}

/** A server that runs its script for each stream, and a pool of connections to it. */
const start = async (
  t: Test,
  script: Script,
  options: SecureServerOptions = {},
): Promise<Engine> => {
  const certificates = await engineCertificates(t)
  const { certificate: cert, key } = await certificates.server()
  const server = createSecureServer({ cert, key, ...options })
  const sessions: ServerHttp2Session[] = []
  server.on('session', (session) => sessions.push(session.on('error', () => {})))
  const sockets: TLSSocket[] = []
  server.on('secureConnection', (socket) => sockets.push(socket))
  let nth = 0
  server.on('stream', (stream) => {
    stream.on('error', () => {})
    script(stream, ++nth)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const pool = new Pool({ kind: 'tls', host: '127.0.0.1', port, ca: certificates.ca })
  t.teardown(() => {
    pool.close()
    for (const session of sessions) session.destroy()
    server.close()
  })
  return { pool, server, sessions, sockets }
}

const hello: Script = (stream) => {
  stream.respond({ ':status': 200 })
  stream.end('hello')
}

/** What became of a request: its body and how that ended, or how it was lost. */
interface Outcome {
  readonly body?: string
  readonly end?: 'complete' | 'cut'
  readonly code?: string
  readonly loss?: Loss
}

const converse = (connection: Connection): Promise<Outcome> =>
  new Promise((resolve) => {
    let body = ''
    connection.ask(HEAD, 'GET', {
      answered: (_, rest) => {
        body += rest
        connection.conduit.receiver = {
          received: (bytes) => {
            body += bytes
          },
          ended: () => resolve({ body, end: 'complete' }),
          gone: () => resolve({ body, end: 'cut' }),
        }
      },
      unanswered: ({ code }, loss) => resolve({ code, loss }),
    })
  })

const request = async ({ pool }: Engine): Promise<Outcome> => {
  const connection = await pool.begin(HEAD)
  const outcome = await converse(connection)
  pool.release(connection, true)
  return outcome
}

test('many requests at once are streams of one connection', async (t) => {
  const engine = await start(t, hello)
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask(engine.pool, QUESTION)))
  t.ok(answers.every(({ status, body }) => status === 200 && String(body) === 'hello'))
  t.equal(engine.sessions.length, 1)
  t.equal(engine.pool.busy, 0)
})

test('a connection gets as many streams as it takes, and no more', async (t) => {
  let live = 0
  let most = 0
  const engine = await start(
    t,
    (stream) => {
      most = Math.max(most, ++live)
      stream.respond({ ':status': 200 })
      setTimeout(() => {
        live--
        stream.end()
      }, 20)
    },
    { settings: { maxConcurrentStreams: 10 } },
  )
  const outcomes = await Promise.all(Array.from({ length: 25 }, () => request(engine)))
  t.ok(outcomes.every(({ end }) => end === 'complete'))
  t.ok(most > 10 && most <= 25, 'those that found no room went on another connection')
  t.equal(engine.sessions.length, 3)
})

test('a connection that takes no more streams is replaced, and carries those that it has to their end', async (t) => {
  const held: ServerHttp2Stream[] = []
  const engine = await start(t, (stream, nth) => {
    stream.respond({ ':status': 200 })
    if (nth === 1) held.push(stream)
    else stream.end('second')
  })
  const first = request(engine)
  while (held.length === 0) await new Promise((resolve) => setTimeout(resolve, 2))
  const [session] = engine.sessions
  session!.goaway(0)
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.strictSame(await request(engine), { body: 'second', end: 'complete' })
  t.equal(engine.sessions.length, 2)
  held[0]!.end('first')
  t.strictSame(await first, { body: 'first', end: 'complete' })
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(session!.destroyed, true, 'and is closed then')
})

test('an answer that is cut never looks complete', async (t) => {
  const ways: Readonly<Record<string, (stream: ServerHttp2Stream) => void>> = {
    'reset, INTERNAL_ERROR': (stream) => stream.destroy(new Error('cut')),
    'the connection destroyed': (stream) => stream.session!.destroy(),
    'the socket destroyed': () => engine.sockets.at(-1)!.destroy(),
    'GOAWAY with an error': (stream) => stream.session!.destroy(new Error('cut'), INTERNAL_ERROR),
  }
  const names = Object.keys(ways)
  const engine: Engine = await start(t, (stream, nth) => {
    stream.respond({ ':status': 200 })
    stream.write('half', () => setTimeout(() => ways[names[nth - 1]!]!(stream), 5))
  })
  for (const name of names) t.strictSame(await request(engine), { body: 'half', end: 'cut' }, name)
  t.equal(engine.pool.busy, 0)
})

test('an answer has ended where that was said, and not where its stream was reset without an error', async (t) => {
  const certificates = await engineCertificates(t)
  const { certificate: cert, key } = await certificates.server()
  const head = block([[':status', '200']])
  const reset = frame(TYPE.RST_STREAM, 0, 1, Buffer.alloc(4))
  const headers = (flags: number) => frame(TYPE.HEADERS, END_HEADERS | flags, 1, head)
  const trailers = frame(TYPE.HEADERS, END_HEADERS | END_STREAM, 1, block([['x-y', 'z']]))
  const ways: readonly (readonly [Outcome, readonly Buffer[]])[] = [
    [{ body: 'half', end: 'cut' }, [headers(0), frame(TYPE.DATA, 0, 1, 'half'), reset]],
    [{ body: '', end: 'cut' }, [headers(0), reset]],
    [{ body: 'all', end: 'complete' }, [headers(0), frame(TYPE.DATA, END_STREAM, 1, 'all'), reset]],
    [{ body: 'all', end: 'complete' }, [headers(0), frame(TYPE.DATA, 0, 1, 'all'), trailers]],
    [{ body: '', end: 'complete' }, [headers(0), frame(TYPE.DATA, END_STREAM, 1, ''), reset]],
    [{ body: '', end: 'complete' }, [headers(END_STREAM), reset]],
  ]
  for (const isTogether of [true, false])
    for (const method of ['GET', 'POST'])
      for (const [outcome, pieces] of ways) {
        const sockets: TLSSocket[] = []
        const server = createServer({ cert, key, ALPNProtocols: ['h2'] }, async (socket) => {
          sockets.push(socket.on('error', () => {}).resume())
          socket.write(Buffer.concat([frame(TYPE.SETTINGS, 0, 0), frame(TYPE.SETTINGS, 1, 0)]))
          await new Promise((resolve) => setTimeout(resolve, 20))
          for (const piece of isTogether ? [Buffer.concat(pieces)] : pieces) {
            socket.write(piece)
            await new Promise((resolve) => setTimeout(resolve, 5))
          }
        })
        server.listen(0, '127.0.0.1')
        await once(server, 'listening')
        const { port } = server.address() as AddressInfo
        const pool = new Pool({ kind: 'tls', host: '127.0.0.1', port, ca: certificates.ca })
        // an upload that goes on keeps the stream open
        const body = method === 'POST' ? 'Transfer-Encoding: chunked\r\n' : ''
        const connection = await pool.begin(`${method} /x HTTP/1.1\r\nHost: e\r\n${body}\r\n`)
        const seen = await converse(connection)
        t.strictSame(seen, outcome, `${method}, ${pieces.length}, ${isTogether}`)
        pool.release(connection, true)
        pool.close()
        for (const socket of sockets) socket.destroy()
        server.close()
      }
})

test('a request that goes unanswered says how much of it may have been seen', async (t) => {
  const ways: Readonly<Record<string, readonly [Loss, (stream: ServerHttp2Stream) => void]>> = {
    refused: ['unprocessed', (stream) => stream.close(REFUSED_STREAM)],
    reset: ['untouched', (stream) => stream.close(CANCEL)],
    lost: ['untouched', (stream) => stream.session!.destroy()],
    'reset after 103': [
      'begun',
      (stream) => {
        stream.additionalHeaders({ ':status': 103 })
        setTimeout(() => stream.close(CANCEL), 10)
      },
    ],
  }
  const names = Object.keys(ways)
  const engine = await start(t, (stream, nth) => ways[names[nth - 1]!]![1](stream))
  for (const name of names)
    t.strictSame(await request(engine), { code: 'ENGINE_GONE', loss: ways[name]![0] }, name)
})

test('interim responses without end are an end', async (t) => {
  const engine = await start(t, (stream) => {
    for (let i = 0; i < 20; i++) stream.additionalHeaders({ ':status': 103 })
  })
  t.strictSame(await request(engine), { code: 'MALFORMED_RESPONSE', loss: 'begun' })
})

test('a request that is given up never looks complete to the engine', async (t) => {
  const seen: string[] = []
  let told = (): void => {}
  const engine = await start(t, (stream) => {
    stream.on('data', () => told())
    stream.once('close', () => {
      seen.push(`reset with ${stream.rstCode}`)
      told()
    })
  })
  const head = 'POST /x HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n'
  const connection = await engine.pool.begin(head)
  connection.ask(head, 'POST', { answered() {}, unanswered() {} })
  connection.conduit.say('half')
  await new Promise<void>((resolve) => {
    told = resolve
  })
  const reset = new Promise<void>((resolve) => {
    told = resolve
  })
  engine.pool.release(connection, false)
  await reset
  t.strictSame(seen, [`reset with ${CANCEL}`])
})

test('a way that nobody asked on is never begun', async (t) => {
  let begun = 0
  const engine = await start(t, (stream) => {
    begun++
    hello(stream, 1)
  })
  await request(engine)
  engine.pool.release(await engine.pool.begin(HEAD), true)
  await request(engine)
  t.equal(begun, 2)
  t.equal(engine.pool.busy, 0)
})

test('a reader that does not read stops the engine', async (t) => {
  const CHUNK = Buffer.alloc(64 << 10)
  let written = 0
  const engine = await start(t, (stream) => {
    stream.respond({ ':status': 200 })
    const more = (): void => {
      if (stream.destroyed) return
      written += CHUNK.length
      stream.write(CHUNK, more)
    }
    more()
  })
  const connection = await engine.pool.begin(HEAD)
  connection.ask(HEAD, 'GET', { answered: () => {}, unanswered: () => {} })
  connection.conduit.receiver = { received: (_, from) => from.hold(), ended() {}, gone() {} }
  connection.conduit.flow()
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.ok(written > 0 && written <= 1 << 20, `${written} bytes`)
  engine.pool.release(connection, false)
})

test('an engine that takes no streams is asked once, and said to be of no use', async (t) => {
  const engine = await start(t, hello, { settings: { maxConcurrentStreams: 0 } })
  await t.rejects(ask(engine.pool, QUESTION), { code: 'ENGINE_UNREACHABLE' })
  t.ok(engine.sockets.length <= 2, `${engine.sockets.length} connections`)
})

test('where HTTP/1.1 is chosen, it is spoken', async (t) => {
  const certificates = await engineCertificates(t)
  const { certificate: cert, key } = await certificates.server()
  let connections = 0
  const server = createServer({ cert, key, ALPNProtocols: ['http/1.1'] }, (socket) => {
    connections++
    socket.on('error', () => {})
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const pool = new Pool({ kind: 'tls', host: '127.0.0.1', port, ca: certificates.ca })
  t.teardown(() => {
    pool.close()
    server.close()
  })
  const answers = await Promise.all(Array.from({ length: 4 }, () => ask(pool, QUESTION)))
  t.ok(answers.every(({ body }) => String(body) === 'hello'))
  t.equal(connections, 4, 'the connection on which it was chosen is one of them')
  await ask(pool, QUESTION)
  t.equal(connections, 4, 'and they are used again')
})

test('a connection that can stop being HTTP is one of its own, over HTTP/1.1', async (t) => {
  const engine = await start(t, hello, { allowHTTP1: true })
  await request(engine)
  engine.server.on('request', (request, response) => {
    if (request.httpVersion === '1.1') response.end('own')
  })
  const connection = await engine.pool.open()
  const status = await new Promise((resolve) =>
    connection.ask(HEAD, 'GET', {
      answered: (head) => resolve(head.status),
      unanswered: ({ message }) => resolve(message),
    }),
  )
  t.equal(status, 200)
  t.equal(connection.isStream, false)
  engine.pool.release(connection, false)
})
