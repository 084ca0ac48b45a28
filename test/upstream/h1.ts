/** One engine connection against peers that follow a script, on unix sockets. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { Failure } from '../../src/errors.ts'
import type { Loss } from '../../src/upstream/connection.ts'
import { dial } from '../../src/upstream/dial.ts'
import { UpstreamConnection } from '../../src/upstream/h1.ts'
import { Pool } from '../../src/upstream/pool.ts'
import type { ResponseHead } from '../../src/wire/head.ts'

type Script = (socket: Socket, nth: number) => void

/** A peer that runs its script at each request head. */
const peer = async (t: Test, script: Script): Promise<string> => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-peer-'))
  const path = join(folder, 'peer.sock')
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    let nth = 0
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      for (const _ of bytes.toString('latin1').matchAll(/\r\n\r\n/g)) script(socket, nth++)
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
    rmSync(folder, { recursive: true })
  })
  return path
}

const open = async (t: Test, script: Script): Promise<UpstreamConnection> => {
  const conduit = await dial({ kind: 'unix', path: await peer(t, script) })
  t.teardown(() => conduit.destroy())
  return new UpstreamConnection(conduit)
}

interface Outcome {
  readonly status?: number
  readonly rest?: string
  readonly code?: string
  readonly loss?: Loss
}

const ask = (connection: UpstreamConnection, method = 'GET'): Promise<Outcome> =>
  new Promise((resolve) =>
    connection.ask(`${method} /x HTTP/1.1\r\nHost: berth\r\n\r\n`, method, {
      answered: ({ status }: ResponseHead, rest: Buffer) =>
        resolve({ status, rest: rest.toString('latin1') }),
      unanswered: ({ code }: Failure, loss: Loss) => resolve({ code, loss }),
    }),
  )

test('a head is told once, with the body bytes that came along', async (t) => {
  const connection = await open(t, (socket) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK'),
  )
  t.same(await ask(connection), { status: 200, rest: 'OK' })
  connection.rest()
  t.same(await ask(connection), { status: 200, rest: 'OK' })
  t.equal(connection.uses, 2)
})

test('a head that comes byte by byte, behind interim ones, is the same', async (t) => {
  const bytes =
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 X\r\n\r\n'
  const connection = await open(t, async (socket) => {
    for (const byte of bytes) {
      socket.write(byte)
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
  t.same(await ask(connection), { status: 204, rest: '' })
})

test('a death tells whether a byte of the answer had come', async (t) => {
  const rows: readonly (readonly [string, Loss])[] = [
    ['', 'untouched'],
    ['H', 'begun'],
    ['HTTP/1.1 200 OK\r\nContent-Le', 'begun'],
    ['HTTP/1.1 100 Continue\r\n\r\n', 'begun'],
  ]
  for (const [bytes, loss] of rows)
    for (const end of ['end', 'destroy'] as const) {
      const connection = await open(t, (socket) => {
        if (bytes === '') return void socket[end]()
        socket.write(bytes, () => socket[end]())
      })
      t.same(
        await ask(connection),
        { code: 'ENGINE_GONE', loss },
        `${JSON.stringify(bytes)}, ${end}`,
      )
    }
})

test('a malformed head ends the connection', async (t) => {
  for (const bytes of [
    'HTTP/1.1 2000 X\r\n\r\n',
    'HTTP/1.1 200 OK\nX: y\r\n\r\n',
    '\r\n',
    `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(70_000)}`,
    'HTTP/1.1 102 X\r\n\r\n'.repeat(9),
  ]) {
    const connection = await open(t, (socket) => socket.write(bytes))
    t.same(await ask(connection), { code: 'MALFORMED_RESPONSE', loss: 'begun' }, bytes.slice(0, 20))
    t.equal(connection.isUsable, false)
  }
})

test('whatever an idle connection says makes it unusable, and so does its end', async (t) => {
  for (const talk of [(socket: Socket) => socket.write('x'), (socket: Socket) => socket.end()]) {
    let peerSocket: Socket | undefined
    const connection = await open(t, (socket) => {
      peerSocket = socket
      socket.write('HTTP/1.1 204 X\r\n\r\n')
    })
    await ask(connection)
    connection.rest()
    t.equal(connection.isUsable, true)
    const told = new Promise<void>((resolve) => {
      connection.onUnusable = resolve
    })
    talk(peerSocket!)
    await told
    t.equal(connection.isUsable, false, 'from the moment that it is told')
  }
})

test('a pool gives back what was put in, in working order only', async (t) => {
  const path = await peer(t, (socket, nth) => {
    socket.write('HTTP/1.1 204 X\r\n\r\n')
    if (nth === 1) setTimeout(() => socket.write('surplus'), 5)
  })
  const pool = new Pool({ kind: 'unix', path })
  t.teardown(() => pool.close())
  t.equal(pool.take(), undefined)
  const first = await pool.open()
  await ask(first)
  pool.release(first, true)
  t.equal(pool.take(), first)
  t.equal(pool.take(), undefined, 'it is in use')
  await ask(first)
  pool.release(first, true)
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal(pool.take(), undefined, 'it has said something unasked')
  const second = await pool.open()
  await ask(second)
  pool.release(second, false)
  t.equal(pool.take(), undefined)
  t.equal(pool.busy, 0)
})

test('an engine that is not there, or not open to us, is named', async (t) => {
  await t.rejects(dial({ kind: 'unix', path: '/nowhere/engine.sock' }), {
    code: 'ENGINE_UNREACHABLE',
    message: /\/nowhere\/engine\.sock.*no such socket/,
  })
  await t.rejects(dial({ kind: 'tcp', host: '127.0.0.1', port: 1 }), {
    code: 'ENGINE_UNREACHABLE',
    message: /nothing listens there/,
  })
})
