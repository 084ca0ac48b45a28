/** Conduits one by one: what is said to a socket that takes nothing at once, as those of TLS. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { type Test, test } from 'tap'
import { adoptPlain, open } from '../../src/transport/adopt.ts'
import { type Conduit, NOBODY } from '../../src/transport/conduit.ts'
import { Draft } from '../../src/transport/draft.ts'

const PIECES = 400
const draft = new Draft()

/** One conduit, and the socket at its other end. */
const pair = async (
  t: Test,
  dial = (port: number): Conduit => adoptPlain(connect(port, '127.0.0.1')),
): Promise<{ conduit: Conduit; peer: Socket }> => {
  const server = createServer()
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const accepted = once(server, 'connection')
  const conduit = dial((server.address() as { port: number }).port)
  t.teardown(() => conduit.destroy())
  const [peer] = (await accepted) as [Socket]
  t.teardown(() => peer.destroy())
  return { conduit, peer: peer.on('error', () => {}) }
}

test('pieces that wait are as large as what is in them', async (t) => {
  const { conduit, peer } = await pair(t)
  const before = process.memoryUsage().arrayBuffers
  const expected: Buffer[] = []
  for (let n = 0; n < PIECES; n++) {
    const text = `caf\xe9 ${n} `
    const bytes = Buffer.alloc(100, n)
    draft.begin(text)
    draft.addBytes(bytes)
    conduit.sayDraft(draft)
    expected.push(Buffer.from(text, 'latin1'), Buffer.from(bytes))
    bytes.fill(0) // lent: good until the call was over
  }
  const kept = process.memoryUsage().arrayBuffers - before
  t.ok(kept < PIECES * 1000, `${kept} bytes for ${PIECES} pieces`)

  conduit.finish()
  t.ok((await buffer(peer)).equals(Buffer.concat(expected)), 'and every byte arrives')
})

test('a source that waits for a sink which dies is read on by whoever takes it over', async (t) => {
  const source = await pair(t)
  const sink = await pair(t, (port) => open({ host: '127.0.0.1', port }))
  sink.peer.pause()
  let count = 0
  const waits = new Promise<void>((resolve) => {
    source.conduit.receiver = {
      ...NOBODY,
      received(bytes, from) {
        sink.conduit.forward(bytes, from)
        if (from.socket.isPaused()) resolve()
      },
    }
  })
  source.conduit.flow()
  const all = Buffer.alloc(32 << 20)
  const sent = new Promise((resolve) => source.peer.write(all, resolve))
  await waits
  source.conduit.receiver = {
    ...NOBODY,
    received(bytes) {
      count += bytes.length
    },
  }
  source.conduit.flow() // the sink is still waited for
  sink.peer.resetAndDestroy()
  await sent
  t.ok(count > 0, `${count} bytes were still to come`)
})
