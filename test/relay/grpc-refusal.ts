/** A build that cannot be: buildx must read why, over gRPC, or it falls back to a privileged builder of its own. */
import { once } from 'node:events'
import { connect } from 'node:http2'
import { test } from 'tap'
import { startFront } from '../support/front.ts'
import { rawClient } from '../support/raw-client.ts'

const UPGRADE = 'POST /grpc HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'

test('without an engine /grpc is accepted, and each call on it is answered with status 14 and the reason', async (t) => {
  const url = await startFront(t, 'unix:///nowhere/engine.sock')
  const client = rawClient(t, url).send(UPGRADE)
  await client.read(/^HTTP\/1\.1 101 (?:.+\r\n)*Upgrade: h2c\r\n(?:.+\r\n)*\r\n/)
  // The other side speaks first: what came behind the head belongs to HTTP/2
  client.socket.removeAllListeners('data').pause()
  client.socket.unshift(
    Buffer.from(client.text.slice(client.text.indexOf('\r\n\r\n') + 4), 'latin1'),
  )
  const session = connect('http://localhost', { createConnection: () => client.socket })
  t.teardown(() => session.destroy())
  for (const path of ['/moby.buildkit.v1.Control/Info', '/moby.buildkit.v1.Control/Solve']) {
    const call = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    const trailers = once(call, 'trailers').then(([fields]) => fields)
    const headers = once(call, 'response').then(([fields]) => fields)
    call.end(Buffer.from([0, 0, 0, 0, 0]))
    call.resume()
    const first = await headers
    const said = first['grpc-status'] === undefined ? await trailers : first
    t.equal(first[':status'], 200)
    t.equal(String(said['grpc-status']), '14')
    t.match(decodeURIComponent(String(said['grpc-message'])), /the engine cannot be reached/)
    call.close()
  }
})

test('without an engine /session is refused as plain HTTP: the roles are turned round there', async (t) => {
  const url = await startFront(t, 'unix:///nowhere/engine.sock')
  const client = rawClient(t, url).send(UPGRADE.replace('/grpc', '/session'))
  await client.until('an answer', ({ responses }) => responses.length > 0)
  t.same(client.statuses, [502])
})
