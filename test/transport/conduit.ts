/** Conduits one by one: what is said to a socket that takes nothing at once, as those of TLS. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { test } from 'tap'
import { adoptPlain } from '../../src/transport/adopt.ts'
import { Draft } from '../../src/transport/draft.ts'

const PIECES = 400
const draft = new Draft()

test('pieces that wait are as large as what is in them', async (t) => {
  const server = createServer()
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const accepted = once(server, 'connection')
  const conduit = adoptPlain(connect((server.address() as { port: number }).port, '127.0.0.1'))
  t.teardown(() => conduit.destroy())

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
  const [socket] = (await accepted) as [Socket]
  t.ok((await buffer(socket)).equals(Buffer.concat(expected)), 'and every byte arrives')
})
