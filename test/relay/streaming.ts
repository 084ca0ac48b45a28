/** Both ways at once: answers that begin before the request has ended, and what happens when either breaks off. */
import { test } from 'tap'
import { startFront } from '../support/front.ts'
import { rawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

const HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
const build = (framing: string): string =>
  `POST /v1.44/build HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\n${framing}\r\n\r\n`
const CHUNKED = 'Transfer-Encoding: chunked'
const PING = 'GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n'

test('the head of an answer leaves at once, and each piece of its body as it comes', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  let write: (text: string) => void = () => {}
  engine.answer = ({ socket }) => {
    write = (text) => socket.write(text)
    socket.write(HEAD)
  }
  const client = rawClient(t, url).send('POST /v1.44/containers/x/wait HTTP/1.1\r\nHost: d\r\n\r\n')
  await client.read(/\r\n\r\n$/)
  write('5\r\nhello\r\n')
  await client.read('hello')
  write('1\r\n!\r\n')
  await client.read('!')
  t.equal(client.responses.length, 0, 'it is not over')
  write('0\r\n\r\n')
  await client.until('its end', ({ responses }) => responses[0]?.body === 'hello!')
})

test('a long head and the body that came with it arrive whole, whatever their lengths', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  for (const [headBytes, bodyBytes] of [
    [100, 8192],
    [8000, 8000],
    [9000, 8192],
    [16_000, 8192],
    [40_000, 10],
    [40_000, 20_000],
  ] as const) {
    const stat = 'a'.repeat(headBytes)
    const body = Array.from({ length: bodyBytes }, (_, i) =>
      String.fromCharCode(97 + (i % 26)),
    ).join('')
    engine.answer = ({ socket }) => {
      socket.write(
        `HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: ${stat}\r\nContent-Length: ${bodyBytes}\r\n\r\n${body}`,
      )
    }
    const client = rawClient(t, url).send(PING)
    await client.until('its end', ({ responses }) => responses.length === 1)
    t.ok(client.text.includes(`Path-Stat: ${stat}\r\n`), `a head of ${headBytes} bytes`)
    t.equal(client.responses[0]?.body, body, `and a body of ${bodyBytes}`)
  }
})

test('an answer streams while the body is still being sent', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  engine.answer = async ({ socket, whole }) => {
    socket.write(`${HEAD}5\r\nstep1\r\n`)
    await whole
    socket.write('5\r\nstep2\r\n0\r\n\r\n')
  }
  const client = rawClient(t, url).send(build(CHUNKED))
  await client.read('step1')
  client.send('5\r\nhello\r\n')
  client.send('0\r\n\r\n')
  await client.until('the end', ({ responses }) => responses[0]?.body === 'step1step2')
  t.equal(engine.requests[0]?.body, 'hello')
  client.send(PING)
  await client.until('another answer', ({ responses }) => responses.length === 2)
  t.equal(engine.connections, 1, 'both sides go on with their connections')
})

test('an answer that is over before the body: the client has it whole, and neither connection goes on', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const answer = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nnope'
  engine.answer = ({ request, socket }) =>
    void socket.write(
      request.target.endsWith('build') ? answer : 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    )
  const client = rawClient(t, url).send(build('Content-Length: 100000'))
  client.send('x'.repeat(1000))
  await client.until('the answer', ({ responses }) => responses[0]?.body === 'nope')
  client.send(PING + 'x'.repeat(50_000))
  t.equal(await client.ended(), 'fin', 'it can be read to its end, whatever is still being sent')
  await engine.until('the upload is given up', ({ sockets }) => sockets.size === 0)
  await rawClient(t, url).send(PING).read('200 OK')
  t.same(
    engine.requests.map(({ target }) => target),
    ['/v1.44/build', '/_ping'],
  )
  t.equal(engine.connections, 2)
})

test('an answer that came before a reset is passed on, whatever is being sent meanwhile', async (t) => {
  const engine = await RecordingEngine.start(t, 'tcp')
  const url = await startFront(t, engine.url)
  const head = 'HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\n'
  const chunk = `400\r\n${'x'.repeat(1024)}\r\n`
  for (const [answer, end, seen] of [
    [`${head}nope`, 'fin', /nope$/],
    [head, 'reset', /413/],
    ['HTTP/1.1 413 Too Large\r\n\r\nnope', 'reset', /nope$/],
    ['', 'fin', /502 Bad Gateway/],
    ['HTTP/1.1 413 Too', 'fin', /502 Bad Gateway/],
  ] as const) {
    engine.clear()
    const client = rawClient(t, url).send(build(CHUNKED))
    await engine.until('the build', ({ requests }) => requests.length === 1)
    const [socket] = engine.sockets
    // the piece is read, and sent on into the reset, before the answer is
    client.send(chunk)
    socket!.write(answer)
    socket!.resetAndDestroy()
    t.equal(await client.ended(), end, answer)
    t.match(client.text, seen, answer)
  }
})

test('a body that breaks off reaches the engine as one', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  for (const [framing, part] of [
    ['Content-Length: 100', 'hello'],
    [CHUNKED, '5\r\nhello\r\n'],
    [CHUNKED, '5\r\nhel'],
  ] as const)
    for (const end of ['finish', 'destroy', 'reset'] as const) {
      let isWhole = false
      engine.clear()
      engine.answer = async ({ whole }) => {
        await whole
        isWhole = true
      }
      const client = rawClient(t, url).send(build(framing))
      client.send(part)
      await engine.until('the request', ({ requests }) => requests.length === 1)
      client[end]()
      await engine.until('its end', ({ sockets }) => sockets.size === 0)
      t.equal(isWhole, false, `${framing}, ${end}`)
    }
})

test('a judged body that breaks off never reaches the engine', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const head = `POST /v1.44/volumes/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n`
  for (const part of [
    'Content-Length: 20\r\n\r\n{"Name":"a"}',
    `${CHUNKED}\r\n\r\nc\r\n{"Name":"a"}\r\n`,
    `${CHUNKED}\r\n\r\nc\r\n{"Name":"a"}\r\n0\r\n`,
  ])
    for (const end of ['finish', 'destroy', 'reset'] as const) {
      const client = rawClient(t, url).send(head + part)
      await new Promise((resolve) => setTimeout(resolve, 10))
      client[end]()
      await client.until('a close', ({ isClosed, end }) => isClosed || end !== undefined)
    }
  await rawClient(t, url).send(PING).read('OK')
  t.same(
    engine.requests.map(({ target }) => target),
    ['/_ping'],
  )
})

test('an answer that breaks off is seen as an error, never as an end', async (t) => {
  for (const kind of ['unix', 'tcp'] as const) {
    const engine = await RecordingEngine.start(t, kind)
    const url = await startFront(t, engine.url)
    for (const [answer, isReset] of [
      [`${HEAD}5\r\nhello\r\n`, false],
      [`${HEAD}5\r\nhel`, false],
      ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello', false],
      [`${HEAD}5\r\nhello\r\n`, true],
      ['HTTP/1.1 200 OK\r\n\r\nhello', true],
    ] as const) {
      if (isReset && kind === 'unix') continue
      engine.answer = async ({ socket }) => {
        socket.write(answer)
        await new Promise((resolve) => setTimeout(resolve, 20))
        if (isReset) socket.resetAndDestroy()
        else socket.end()
      }
      const client = rawClient(t, url).send('GET /v1.44/events HTTP/1.1\r\nHost: d\r\n\r\n')
      t.equal(await client.ended(), 'reset', JSON.stringify({ kind, answer, isReset }))
      t.match(client.text, /hel/, 'what came before is delivered')
    }
  }
})

test('an answer until the connection ends is one, and ends the connection', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  engine.answer = ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\n\r\nhello')
  const client = rawClient(t, url).send(PING)
  t.equal(await client.ended(), 'fin')
  t.match(client.text, /Connection: close\r\n\r\nhello$/)
})

test('a client that leaves frees its engine connection at once', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, { profile: 'dedicated' })
  engine.answer = ({ socket, request }) => {
    if (request.target.includes('events')) socket.write(`${HEAD}5\r\nhello\r\n`)
  }
  const requests = [
    'GET /v1.44/events HTTP/1.1\r\nHost: d\r\n\r\n',
    // what comes behind a request is not to hide that nobody waits for its answer
    'GET /v1.44/events HTTP/1.1\r\nHost: d\r\n\r\nG',
    'POST /v1.44/containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"Image":"a"}',
    'POST /v1.44/containers/x/wait HTTP/1.1\r\nHost: d\r\n\r\n',
    'POST /v1.44/containers/x/wait HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
  ]
  for (const request of requests)
    for (const end of ['destroy', 'reset'] as const) {
      engine.clear()
      const client = rawClient(t, url).send(request)
      await engine.until('the request', ({ requests }) => requests.length === 1)
      const started = performance.now()
      client[end]()
      await engine.until('its end', ({ sockets }) => sockets.size === 0)
      t.ok(performance.now() - started < 1000, `${end} behind ${request.slice(0, 40)}`)
    }
})

test('a pull that cannot be noted down is no pull, and ends nothing else', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, {
    profile: 'ci',
    file: 'policies: {ci: {extends: dedicated, images: ["docker.io/library/*"]}}',
  })
  const said = `{"status":"Digest: sha256:${'a'.repeat(64)}"}\n{"status":"Status: Downloaded newer image for a:latest"}\n`
  engine.answer = ({ socket, request }) => {
    if (request.target.includes('/images/create'))
      socket.write(`${HEAD}${said.length.toString(16)}\r\n${said}\r\n0\r\n\r\n`)
    // what berth asks about the image, before it notes where that came from
    else socket.write('HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}')
  }
  const client = rawClient(t, url).send(
    'POST /v1.44/images/create?fromImage=a&tag=latest HTTP/1.1\r\nHost: d\r\n\r\n',
  )
  t.equal(await client.ended(), 'reset')
  t.match(client.text, /Downloaded newer image/)
  t.equal(client.responses.length, 0, 'its end is not said')
  const other = rawClient(t, url).send(PING)
  await other.until('an answer', ({ statuses }) => statuses.length === 1)
})

test('what a client sends before the switch, and its end, wait for a slow engine', {
  timeout: 10_000,
}, async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  let heard = ''
  let isAll: () => void = () => {}
  const ended = new Promise<void>((resolve) => {
    isAll = resolve
  })
  engine.answer = async (asked) => {
    const { socket } = asked
    asked.onRaw = (bytes) => {
      heard += bytes.toString()
    }
    socket.on('end', isAll)
    // longer than who has half-closed behind an ordinary request is waited for
    await new Promise((resolve) => setTimeout(resolve, 800))
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
  }
  rawClient(t, url)
    .send(
      'POST /v1.44/containers/x/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nstdin',
    )
    .finish()
  await ended
  t.equal(heard, 'stdin')
})
