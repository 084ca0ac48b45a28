/** Connections that stop being HTTP: what goes first, what ends when, and how a death is told from an end. */
import { type Test, test } from 'tap'
import { startFront } from '../support/front.ts'
import { type RawClient, rawClient } from '../support/raw-client.ts'
import { type Asked, RecordingEngine } from '../support/recording-engine.ts'

const ATTACH =
  'POST /v1.44/containers/x/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'
const EXEC =
  'POST /v1.44/exec/e/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}'
const SWITCH =
  'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** The engine's side of a hijacked stream. */
class Container {
  text = ''
  hasEnded = false
  wasReset = false
  readonly #asked: Asked
  readonly #engine: RecordingEngine

  constructor(asked: Asked, engine: RecordingEngine) {
    this.#asked = asked
    this.#engine = engine
    asked.onRaw = (bytes) => {
      this.text += bytes.toString('latin1')
    }
    asked.socket.on('end', () => {
      this.hasEnded = true
    })
    asked.socket.on('error', () => {
      this.wasReset = true
    })
  }

  say(text: string): void {
    this.#asked.socket.write(Buffer.from(text, 'latin1'))
  }

  finish(): void {
    this.#asked.socket.end()
  }

  reset(): void {
    this.#asked.socket.resetAndDestroy()
  }

  get isGone(): boolean {
    return !this.#engine.sockets.has(this.#asked.socket)
  }

  async until(what: string, holds: (container: this) => boolean): Promise<void> {
    for (let waited = 0; !holds(this); waited += 5) {
      if (waited > 10_000)
        throw new Error(`${what}: never; ${JSON.stringify(this.text.slice(-200))}`)
      await pause(5)
    }
  }
}

/** A client and a container at the two ends of one hijacked connection, and the switch to begin with. */
const attach = async (
  t: Test,
  request = ATTACH,
  kind: 'unix' | 'tcp' = 'unix',
): Promise<{
  client: RawClient
  container: Container
  engine: RecordingEngine
  switchNow: (rest?: string) => void
}> => {
  const engine = await RecordingEngine.start(t, kind)
  const url = await startFront(t, engine.url)
  let container: Container | undefined
  engine.answer = (asked) => {
    container = new Container(asked, engine)
  }
  const client = rawClient(t, url).send(request)
  await engine.until('the request', () => container !== undefined)
  const live = container!
  return { client, container: live, engine, switchNow: (rest = '') => live.say(SWITCH + rest) }
}

const switched = (client: RawClient): Promise<string> =>
  client.read(/^HTTP\/1\.1 101 (?:.+\r\n)+\r\n/)
const streamOf = ({ text }: RawClient): string => text.slice(text.indexOf('\r\n\r\n') + 4)

test('bytes that a client sends early wait for the switch, then go first and once', async (t) => {
  const { client, container, engine, switchNow } = await attach(t)
  client.send('early ')
  await pause(20)
  client.send('bytes ')
  await pause(50)
  t.equal(container.text, '', 'an engine throws away what it reads before it switches')
  switchNow()
  await switched(client)
  client.send('and late')
  await container.until('all', ({ text }) => text === 'early bytes and late')
  t.same(engine.requests[0]?.complaints, [])
})

test('early bytes in one packet with the request and its body wait as well', async (t) => {
  const { client, container, switchNow } = await attach(t, `${EXEC}early`)
  await pause(50)
  t.equal(container.text, '')
  switchNow()
  await container.until('all', ({ text }) => text === 'early')
  client.destroy()
})

test('what comes with the switch is not lost', async (t) => {
  for (const rest of ['first words', 'x'.repeat(200_000)]) {
    const { client, container, switchNow } = await attach(t)
    switchNow(rest)
    container.say('!')
    await client.until('all of it', (client) => streamOf(client).length === rest.length + 1)
    t.equal(streamOf(client), `${rest}!`)
    client.destroy()
  }
})

test('a client may half-close at once, and still hears everything', async (t) => {
  const { client, container, switchNow } = await attach(t)
  switchNow()
  await switched(client)
  client.send('in').finish()
  await container.until('the half-close', ({ hasEnded }) => hasEnded)
  t.equal(container.text, 'in')
  t.equal(client.end, undefined, 'the other half is open')
  for (let n = 0; n < 3; n++) {
    await pause(300)
    container.say(`late ${n};`)
  }
  await client.read('late 2;')
  container.finish()
  t.equal(await client.ended(), 'fin')
  t.equal(streamOf(client), 'late 0;late 1;late 2;')
  await container.until('both are closed', ({ isGone }) => isGone)
})

test('a client that had half-closed before the switch loses nothing', async (t) => {
  const { client, container, switchNow } = await attach(t, `${EXEC}all of stdin`)
  client.finish()
  await pause(30)
  switchNow('hello')
  await container.until('the half-close', ({ hasEnded }) => hasEnded)
  t.equal(container.text, 'all of stdin')
  await pause(700)
  container.say(' later')
  container.finish()
  t.equal(await client.ended(), 'fin')
  t.equal(streamOf(client), 'hello later')
})

test('an engine may half-close, and still hears everything', async (t) => {
  const { client, container, switchNow } = await attach(t)
  switchNow('bye')
  container.finish()
  t.equal(await client.ended(), 'fin')
  t.equal(streamOf(client), 'bye')
  client.send('still here')
  await container.until('it', ({ text }) => text === 'still here')
  t.equal(container.hasEnded, false)
  client.finish()
  await container.until('the end', ({ hasEnded }) => hasEnded)
})

test('an engine connection that is reset reaches the client as a reset, behind what was said', async (t) => {
  const { client, container, switchNow } = await attach(t, ATTACH, 'tcp')
  switchNow()
  await switched(client)
  container.say('last words')
  await client.read('last words')
  container.reset()
  t.equal(await client.ended(), 'reset')
})

test('a client that is reset or leaves reaches the engine', async (t) => {
  for (const kind of ['unix', 'tcp'] as const)
    for (const end of ['reset', 'destroy'] as const) {
      const { client, container, switchNow } = await attach(t, ATTACH, kind)
      switchNow()
      await switched(client)
      const started = performance.now()
      client[end]()
      if (end === 'destroy') container.say('anybody?')
      await container.until('its end', (container) => {
        if (!container.isGone && container.hasEnded) container.say('?')
        return container.isGone
      })
      t.ok(performance.now() - started < 1000, `${kind}, ${end}`)
    }
})

test('attach without Upgrade is a raw stream behind 200, as engines answer it', async (t) => {
  const bare = ATTACH.replace('Connection: Upgrade\r\nUpgrade: tcp\r\n', '')
  const { client, container, engine, switchNow } = await attach(t, bare)
  t.match(engine.requests[0]?.fields, [['Host'], ['Connection', 'Upgrade'], ['Upgrade', 'tcp']])
  switchNow('out')
  await client.read('out')
  t.match(client.text, /^HTTP\/1\.1 200 OK\r\n/)
  t.match(client.text, /Content-Type: application\/vnd\.docker\.raw-stream\r\n/)
  t.notMatch(client.text, /Upgrade|Content-Length|Transfer-Encoding/)
  client.send('in')
  await container.until('it', ({ text }) => text === 'in')
  container.finish()
  t.equal(await client.ended(), 'fin')
})

test('an upgrade that the engine refuses leaves HTTP as it was', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  engine.answer = (asked) => {
    asked.isRaw = false
    const isAttach = asked.request.target.includes('attach')
    asked.socket.write(
      `HTTP/1.1 ${isAttach ? '404 Not Found' : '200 OK'}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
    )
  }
  const client = rawClient(t, url).send(`${ATTACH}GET /v1.44/info HTTP/1.1\r\nHost: d\r\n\r\n`)
  await client.until('two answers', ({ responses }) => responses.length === 2)
  t.same(client.statuses, [404, 200])
  t.same(
    engine.requests.map(({ target }) => target),
    ['/v1.44/containers/x/attach?stdin=1&stdout=1&stream=1', '/v1.44/info'].map((target, at) =>
      at === 0 ? engine.requests[0]!.target : target,
    ),
  )
})

test('after a tunnel neither connection is used for HTTP again', async (t) => {
  const { client, container, engine, switchNow } = await attach(t)
  switchNow()
  await switched(client)
  client.send('GET /v1.44/info HTTP/1.1\r\nHost: d\r\n\r\n')
  await container.until('the bytes', ({ text }) => text.startsWith('GET /v1.44/info'))
  container.finish()
  await client.ended()
  client.destroy()
  t.equal(engine.requests.length, 1)
})

test('megabytes go both ways at once, unchanged', async (t) => {
  const { client, container, switchNow } = await attach(t)
  switchNow()
  await switched(client)
  const up = 'upward '.repeat(700_000)
  const down = 'downward '.repeat(600_000)
  client.send(up).finish()
  container.say(down)
  container.finish()
  await container.until('all', ({ hasEnded }) => hasEnded)
  await client.ended()
  t.equal(container.text.length, up.length)
  t.ok(container.text === up)
  t.ok(streamOf(client) === down)
})

test('a session is h2c and nothing else, and the websocket of attach is one', async (t) => {
  const session =
    'POST /session HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: u\r\nX-Docker-Expose-Session-Grpc-Method: /a\r\nX-Docker-Expose-Session-Grpc-Method: /b\r\n\r\n'
  const opened = await attach(t, session)
  t.same(
    opened.engine.requests[0]?.fields
      .filter(([name]) => name.endsWith('Method'))
      .map(([, value]) => value),
    ['/a', '/b'],
  )
  opened.container.say(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI',
  )
  await opened.client.read(/Upgrade: h2c\r\n(?:.+\r\n)*\r\nPRI$/)
  const websocket =
    'GET /v1.44/containers/x/attach/ws?stream=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
  const talking = await attach(t, websocket)
  talking.container.say(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
  )
  await talking.client.read(
    /Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n(?:.+\r\n)*\r\n$/,
  )
  t.pass()
})
