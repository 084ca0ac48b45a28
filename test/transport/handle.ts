/** What lies below a socket: connections taken before a socket is made of them, and writes past its stream. */
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer, type Server, Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'
import { type Test, test } from 'tap'
import {
  type Accepted,
  canWrite,
  discard,
  QUEUED,
  rebuild,
  TAKEN,
  takeAccepted,
  type Writer,
  write,
} from '../../src/transport/handle.ts'

/** Two ends of one connection; the second is not read before it is asked to. */
const pair = async (t: Test): Promise<[Socket, Socket]> => {
  const server = createServer({ pauseOnConnect: true })
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const accepted = once(server, 'connection')
  const near = connect((server.address() as { port: number }).port, '127.0.0.1')
  const [far] = (await accepted) as [Socket]
  await once(near, 'connect')
  for (const socket of [near, far]) {
    socket.on('error', () => undefined)
    t.teardown(() => socket.destroy())
  }
  return [near, far]
}

/** Collects what it is told. */
const listener = (): Writer & { readonly told: number[] } => {
  const told: number[] = []
  return { told, written: (error) => told.push(error) }
}

const received = async (socket: Socket, length: number): Promise<Buffer> => {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of socket) {
    pieces.push(piece as Buffer)
    size += (piece as Buffer).length
    if (size >= length) break
  }
  return Buffer.concat(pieces)
}

test('this Node lets writes past the stream', async (t) => {
  const [near] = await pair(t)
  t.equal(canWrite(near), true)
})

test('what the kernel takes is taken at once, and nobody is told of it', async (t) => {
  const [near, far] = await pair(t)
  const writer = listener()
  for (let n = 0; n < 100; n++) {
    t.equal(write(near, 'caf\xe9 ', writer), TAKEN)
    t.equal(write(near, Buffer.from([n]), writer), TAKEN)
  }
  const bytes = await received(far, 600)
  const expected = Array.from({ length: 100 }, (_, n) => [...Buffer.from('caf\xe9 ', 'latin1'), n])
  t.same([...bytes], expected.flat())
  t.same(writer.told, [])
})

test('what it does not take waits, in order, and each write is told of once', async (t) => {
  const [near, far] = await pair(t)
  const writer = listener()
  const sent: Buffer[] = []
  let queued = 0
  for (let n = 0; n < 200; n++) {
    const piece = Buffer.alloc(50_000 + n, n)
    const outcome = write(near, piece, writer)
    if (outcome === QUEUED) queued++
    else t.equal(outcome, TAKEN)
    sent.push(piece)
  }
  t.ok(queued > 0, 'the kernel was full')
  const expected = Buffer.concat(sent)
  t.ok((await received(far, expected.length)).equals(expected), 'every byte, in order')
  t.same(
    writer.told,
    Array.from({ length: queued }, () => 0),
  )
})

test('a write that cannot be made says why', async (t) => {
  const [near] = await pair(t)
  const writer = listener()
  near.end()
  await once(near, 'finish')
  t.equal(getSystemErrorName(write(near, 'x', writer)), 'EPIPE')
  t.same(writer.told, [])
})

test('half-close and end wait for what is queued', async (t) => {
  const [near, far] = await pair(t)
  const writer = listener()
  const piece = Buffer.alloc(8 << 20, 7)
  t.equal(write(near, piece, writer), QUEUED)
  near.end()
  t.equal((await received(far, Number.POSITIVE_INFINITY)).length, piece.length)
  t.same(writer.told, [0])
})

test('a socket that is destroyed ends what is queued with an error', async (t) => {
  const [near] = await pair(t)
  const writer = listener()
  t.equal(write(near, Buffer.alloc(8 << 20), writer), QUEUED)
  near.destroy()
  await once(near, 'close')
  t.same(writer.told.map(getSystemErrorName), ['ECANCELED'])
})

/** Of a connection, by its two ports: what the kernel's timer waits for, and for how many seconds yet. */
const timerOf = (local: number, remote: number): { kind: number; seconds: number } | undefined => {
  const port = (n: number): string => n.toString(16).toUpperCase().padStart(4, '0')
  const row = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/ +/))
    .find(
      ([, here, there]) => here?.endsWith(`:${port(local)}`) && there?.endsWith(`:${port(remote)}`),
    )
  const [kind, ticks] = row?.[5]?.split(':') ?? []
  if (kind === undefined || ticks === undefined) return undefined
  return { kind: Number.parseInt(kind, 16), seconds: Number.parseInt(ticks, 16) / 100 }
}
const KEEP_ALIVE = 2

test('connections are taken before a socket is made of them', async (t) => {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  const taken: Accepted[] = []
  takeAccepted(server, 30_000, (accepted) => taken.push(accepted))
  server.on('connection', () => t.fail('a socket was made'))

  const near = connect(port, '127.0.0.1')
  t.teardown(() => near.destroy())
  await once(near, 'connect')
  near.end('hello')
  while (taken.length < 1) await new Promise((resolve) => setImmediate(resolve))
  const [accepted] = taken
  t.notOk(accepted instanceof Socket)
  t.match(timerOf(port, near.localPort!), { kind: KEEP_ALIVE })
  const far = rebuild(accepted!, {})!
  t.equal(far.remotePort, near.localPort)
  t.equal((await received(far, 5)).toString(), 'hello')

  const unwanted = connect(port, '127.0.0.1')
  await once(unwanted, 'connect')
  while (taken.length < 2) await new Promise((resolve) => setImmediate(resolve))
  discard(taken[1]!)
  unwanted.resume()
  await once(unwanted, 'close')
})

test('where a server has no handle of the kind known, sockets are taken as they come', async (t) => {
  const server = new EventEmitter()
  const taken: Accepted[] = []
  takeAccepted(server as Server, 30_000, (accepted) => taken.push(accepted))
  const [near, far] = await pair(t)
  server.emit('connection', far)
  t.equal(taken[0], far)
  t.match(timerOf(far.localPort!, near.localPort!), { kind: KEEP_ALIVE })
  discard(far)
  near.resume()
  await once(near, 'close')
})
