/** Two connections joined, over every kind of socket: bytes, back-pressure, half-closes and resets. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls'
import { type Test, test } from 'tap'
import { splice } from '../../src/relay/splice.ts'
import { initAuthority, openAuthority } from '../../src/tenant/authority.ts'
import { adopt, adoptPlain, open } from '../../src/transport/adopt.ts'
import { memoryInUse } from '../../src/transport/buffers.ts'
import type { Conduit } from '../../src/transport/conduit.ts'

const MB = 1 << 20
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const until = async (what: string, holds: () => boolean, patienceMs = 20_000): Promise<void> => {
  for (let waited = 0; !holds(); waited += 5) {
    if (waited > patienceMs) throw new Error(`${what}: never`)
    await pause(5)
  }
}

// === pairs of sockets around a splice ===

type Kind = 'read buffers' | "'data' events" | 'TLS'
const KINDS: readonly Kind[] = ['read buffers', "'data' events", 'TLS']

const listen = async (
  t: Test,
  onSocket: (socket: Socket) => void,
  options: object = {},
): Promise<number> => {
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true, ...options })
  server.on('connection', onSocket)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  return (server.address() as { port: number }).port
}

const half = { allowHalfOpen: true, noDelay: true, host: '127.0.0.1' }

interface Pair {
  /** What a client holds, and what an engine holds. */
  readonly client: Socket
  readonly engine: Socket
  readonly over: Promise<{ up: number; down: number }>
  readonly legs: readonly [Conduit, Conduit]
}

/** Makes pairs of a kind; all sockets are gone when the test is over. */
const harness = async (t: Test, kind: Kind): Promise<() => Promise<Pair>> => {
  let onEngine: (socket: Socket) => void = () => {}
  let onClient: (leg: Conduit) => void = () => {}
  const enginePort = await listen(t, (socket) => onEngine(socket))
  const secure = kind === 'TLS' ? await certificate(t) : undefined
  const accept = (raw: Socket): void => {
    if (secure === undefined)
      return onClient(kind === 'read buffers' ? adopt(raw) : adoptPlain(raw))
    const socket = new TLSSocket(raw, { isServer: true, secureContext: secure.context })
    socket.once('secure', () => onClient(adoptPlain(socket)))
    socket.on('error', () => {})
  }
  const port = await listen(t, accept, { pauseOnConnect: kind === 'read buffers' })
  return async () => {
    const upstream =
      kind === "'data' events"
        ? adoptPlain(connect({ ...half, port: enginePort }))
        : open({ host: '127.0.0.1', port: enginePort })
    const engine = await new Promise<Socket>((resolve) => {
      onEngine = resolve
    })
    const accepted = new Promise<Conduit>((resolve) => {
      onClient = resolve
    })
    const client =
      secure === undefined
        ? connect({ ...half, port })
        : connectTls({ ...half, port, ca: secure.ca, servername: 'localhost' })
    const leg = await accepted
    for (const socket of [client, engine]) {
      socket.on('error', () => {})
      t.teardown(() => socket.destroy())
    }
    t.teardown(() => leg.destroy())
    t.teardown(() => upstream.destroy())
    return { client, engine, over: splice(leg, upstream), legs: [leg, upstream] }
  }
}

const certificate = async (t: Test) => {
  const directory = t.testdir()
  await initAuthority(directory, Date.now())
  const authority = await openAuthority(directory, Date.now)
  const { certificate, key, ca } = await authority.issueServer(
    'listeners',
    ['localhost'],
    3_600_000,
  )
  return { ca, context: createSecureContext({ cert: certificate, key }) }
}

// === bytes that are known ===

/** Each stream repeats a text of its own, of a length that no buffer has: bytes of another stream or place differ. */
const PERIOD = 1_000_003
const texts = new Map<number, Buffer>()
const textOf = (stream: number): Buffer => {
  let text = texts.get(stream)
  if (text === undefined) {
    text = Buffer.alloc(PERIOD)
    let state = stream * 7919 + 1
    for (let at = 0; at < PERIOD; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      text[at] = state >>> 24
    }
    texts.set(stream, text)
  }
  return text
}

/** Writes `length` bytes of a stream as fast as they are taken, then half-closes. */
const pour = (socket: Socket, stream: number, length: number): void => {
  const text = textOf(stream)
  let at = 0
  const more = (): void => {
    while (at < length) {
      const from = at % PERIOD
      const piece = text.subarray(from, Math.min(PERIOD, from + 150_000, from + length - at))
      at += piece.length
      if (!socket.write(piece)) return void socket.once('drain', more)
    }
    socket.end()
  }
  more()
}

/** Reads a stream to its end and compares every byte; a slow reader rests after each so many. */
const drink = (
  socket: Socket,
  stream: number,
  restMs = 0,
): Promise<{ length: number; wrongAt: number }> => {
  const text = textOf(stream)
  let [at, wrongAt, thirst] = [0, -1, 0]
  return new Promise((resolve) => {
    socket.on('data', (bytes: Buffer) => {
      for (let done = 0; done < bytes.length && wrongAt === -1; ) {
        const from = (at + done) % PERIOD
        const count = Math.min(bytes.length - done, PERIOD - from)
        if (bytes.compare(text, from, from + count, done, done + count) !== 0) wrongAt = at + done
        done += count
      }
      at += bytes.length
      thirst += bytes.length
      if (restMs === 0 || thirst < 200_000) return
      thirst = 0
      socket.pause()
      setTimeout(() => socket.resume(), restMs)
    })
    socket.on('end', () => resolve({ length: at, wrongAt }))
    socket.on('close', () => resolve({ length: at, wrongAt }))
    socket.resume()
  })
}

/** Writes a stream in pieces that just do not fill a read, until `isOver`: they go through the memory that all streams share. */
const trickle = async (socket: Socket, stream: number, isOver: () => boolean): Promise<number> => {
  const text = textOf(stream)
  let at = 0
  while (!isOver()) {
    const from = at % PERIOD
    const piece = text.subarray(from, Math.min(PERIOD, from + 60_000))
    at += piece.length
    await new Promise((resolve) => socket.write(piece, resolve))
  }
  socket.end()
  return at
}

for (const kind of KINDS)
  test(`${kind}: slow readers, fast streams and chatty ones at once, and every byte is where it belongs`, async (t) => {
    const pair = await harness(t, kind)
    const [down, up] = [await pair(), await pair()]
    const [slow, fast, chatty] = [await pair(), await pair(), await pair()]
    const [SLOW, FAST] = [12 * MB, 48 * MB]
    let isOver = false
    const chat = trickle(chatty.engine, 5, () => isOver)
    // What fills up in small pieces waits in the memory that all streams share, if it is not copied
    const late: { stream: number; client: Socket; said: Promise<number> }[] = []
    for (const stream of [6, 7, 8, 9]) {
      const { client, engine } = await pair()
      client.pause()
      late.push({ stream, client, said: trickle(engine, stream, () => isOver) })
    }
    pour(slow.engine, 1, SLOW)
    pour(fast.engine, 2, FAST)
    pour(down.engine, 3, FAST)
    pour(up.client, 4, SLOW)
    const heard = drink(chatty.client, 5)
    await pause(700)
    const later = late.map(({ client, stream }) => drink(client, stream))
    const all = await Promise.all([
      drink(slow.client, 1, 15),
      drink(fast.client, 2),
      drink(down.client, 3),
      drink(up.engine, 4, 15),
    ])
    isOver = true
    t.same(
      all,
      [SLOW, FAST, FAST, SLOW].map((length) => ({ length, wrongAt: -1 })),
    )
    t.same(await heard, { length: await chat, wrongAt: -1 })
    for (const [nth, { said, client }] of late.entries()) {
      t.same(await later[nth], { length: await said, wrongAt: -1 })
      client.end()
    }
    for (const { client, engine } of [slow, fast, chatty, down, up]) {
      client.end()
      engine.end()
    }
    t.same(await slow.over, { up: 0, down: SLOW })
    t.same(await up.over, { up: SLOW, down: 0 })
    await Promise.all([fast.over, chatty.over, down.over])
    t.same(memoryInUse(), { stuck: 0, lent: 0 }, 'everything borrowed has been given back')
  })

for (const kind of KINDS)
  test(`${kind}: one connection is slow one way and fast the other`, async (t) => {
    const pair = await harness(t, kind)
    const both = await pair()
    pour(both.engine, 5, 6 * MB)
    pour(both.client, 6, 24 * MB)
    const [down, up] = await Promise.all([drink(both.client, 5, 15), drink(both.engine, 6)])
    t.same(down, { length: 6 * MB, wrongAt: -1 })
    t.same(up, { length: 24 * MB, wrongAt: -1 })
    t.same(await both.over, { up: 24 * MB, down: 6 * MB })
  })

for (const kind of KINDS)
  test(`${kind}: half-closes are passed on when they are made, and not before`, async (t) => {
    const pair = await harness(t, kind)
    for (const [first, second] of [
      ['client', 'engine'],
      ['engine', 'client'],
    ] as const) {
      const made = await pair()
      const ended = { client: false, engine: false }
      let heard = ''
      made.client.on('end', () => {
        ended.client = true
      })
      made.engine.on('end', () => {
        ended.engine = true
      })
      made[second].on('data', (bytes) => {
        heard += bytes
      })
      made[first].resume()
      await pause(20)
      t.same(ended, { client: false, engine: false })
      made[first].write('last words')
      made[first].end()
      await until('the first end', () => ended[second])
      t.equal(heard, 'last words')
      await pause(30)
      t.equal(ended[first], false, `${first} has ended, ${second} has not`)
      let answer = ''
      made[first].on('data', (bytes) => {
        answer += bytes
      })
      made[second].write('and an answer')
      await until('the answer', () => answer === 'and an answer')
      made[second].end()
      await until('the second end', () => ended[first])
      await made.over
    }
  })

/** How a socket ends: by FIN or by RST. */
const endOf = (socket: Socket): Promise<'fin' | 'reset'> =>
  new Promise((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') resolve('reset')
    })
    socket.on('end', () => resolve('fin'))
    socket.resume()
  })

for (const kind of KINDS)
  test(`${kind}: a reset arrives as a reset, an end as an end, in both directions`, async (t) => {
    const pair = await harness(t, kind)
    const upstreamReset = await pair()
    const seen = endOf(upstreamReset.client)
    upstreamReset.engine.resetAndDestroy()
    t.equal(await seen, 'reset')
    await upstreamReset.over

    const upstreamEnd = await pair()
    const seenEnd = endOf(upstreamEnd.client)
    upstreamEnd.engine.end()
    t.equal(await seenEnd, 'fin')

    const clientReset = await pair()
    const seenUp = endOf(clientReset.engine)
    const { client } = clientReset
    const raw = (client as Socket & { _parent?: Socket })._parent ?? client
    if (kind === 'TLS') (raw === client ? client : raw).destroy()
    else raw.resetAndDestroy()
    const how = await seenUp
    // A TLS client that is destroyed leaves a truncated stream; whichever way, the engine hears of it at once
    if (kind !== 'TLS') t.equal(how, 'reset')
    await until('the engine connection to go', () => {
      if (!clientReset.engine.destroyed) clientReset.engine.write('?')
      return clientReset.engine.destroyed || clientReset.legs[1].isGone
    })
  })

test('readers that never read pin a constant, and give it back when they go', {
  timeout: 60_000,
}, async (t) => {
  const READERS = 500
  const BUDGET = 16 * MB
  for (const kind of KINDS) {
    const pair = await harness(t, kind)
    const pairs: Pair[] = []
    for (let n = 0; n < READERS; n++) {
      const made = await pair()
      made.client.pause()
      // as much as the kernel takes, and more
      const flood = (): void => {
        while (
          made.engine.writable &&
          made.engine.write(textOf(1)) &&
          made.engine.writableLength < MB
        );
      }
      flood()
      pairs.push(made)
    }
    await until('all of them to be stuck', () => {
      const before = pairs.reduce((sum, { legs }) => sum + legs[1].socket.bytesRead, 0)
      return before > READERS * 65_536
    })
    await pause(300)
    const { stuck, lent } = memoryInUse()
    const most = BUDGET + READERS * 4096 + 65_536
    t.ok(stuck > 0, `${kind}: ${stuck} bytes are stuck`)
    if (kind === "'data' events") t.ok(stuck <= READERS * 65_536, 'one read each')
    else t.ok(stuck <= most, `at most ${most}`)
    t.ok(lent <= 16)
    for (const { client, engine } of pairs) {
      client.destroy()
      engine.destroy()
    }
    await Promise.all(pairs.map(({ over }) => over))
    t.same(memoryInUse(), { stuck: 0, lent: 0 })
  }
})

test('nothing is left behind: no timers, no listeners, no connection that a server still counts', async (t) => {
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => void warnings.push(warning)
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const resources = (): number =>
    process.getActiveResourcesInfo().filter((kind) => /TCP|Pipe|Timeout/.test(kind)).length
  for (const kind of KINDS) {
    const pair = await harness(t, kind)
    const before = resources()
    for (let n = 0; n < 60; n++) {
      const { client, engine, over } = await pair()
      engine.write('hello')
      await new Promise((resolve) => client.once('data', resolve))
      client.resume()
      engine.resume()
      if (n % 3 === 2) engine.resetAndDestroy()
      else {
        if (n % 3 === 1) client.destroy()
        else client.end()
        engine.end()
      }
      await over
    }
    await until(`${kind}: all to be gone`, () => resources() <= before, 2000)
  }
  t.same(warnings, [])
  // The teardown of each harness closes its servers: it would wait for ever for a connection that is still counted
})
