/** Tricks like those of fixtures/attacks.jsonl that are not in it: each family of them varied along its own axis. */
import { type Test, test } from 'tap'
import { startFront } from '../support/front.ts'
import { RawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

/** What a smuggler would like an engine to see: a request that berth would forward, had it been asked. */
const HIDDEN = 'GET /v1.44/containers/smuggled/json HTTP/1.1\r\nHost: d\r\n\r\n'

const post = (fields: string, body: string, target = '/v1.44/containers/x/kill'): string =>
  `POST ${target} HTTP/1.1\r\nHost: d\r\n${fields}\r\n${body}`

/** A fresh berth and engine for a family; `check` sends one attack and says how it ended. */
const harness = async (t: Test) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url, { headSeconds: 2 })
  const send = async (raw: string, isOver: (client: RawClient) => boolean): Promise<RawClient> => {
    engine.clear()
    const client = new RawClient(url)
    client.send(raw)
    await client.until('its end', isOver, 5000).catch(() => {})
    client.destroy()
    return client
  }
  const isEnded = ({ end }: RawClient): boolean => end !== undefined
  return {
    engine,
    /** It is answered with an error, the connection is closed, and the engine hears nothing. */
    refused: async (raw: string) => {
      const client = await send(raw, isEnded)
      const [status = 0] = client.statuses
      const isFine =
        client.statuses.length === 1 &&
        status >= 400 &&
        client.end !== undefined &&
        engine.requests.length === 0
      const { statuses, end } = client
      t.ok(isFine, JSON.stringify(raw.slice(0, 160)), { statuses, end, engine: engine.requests })
    },
    /** The engine hears `count` requests, canonical ones, and none that was hidden. */
    forwarded: async (raw: string, count = 1) => {
      const client = await send(raw, (client) => isEnded(client) || client.statuses.length >= count)
      const hidden = engine.requests.filter(({ target }) => target.includes('smuggled'))
      t.same(
        engine.requests.flatMap(({ complaints }) => complaints),
        [],
        raw.slice(0, 160),
      )
      t.same(hidden, [])
      t.equal(engine.requests.length, count, JSON.stringify(raw.slice(0, 160)))
      return client
    },
  }
}

const ODD_BLANKS = [
  '\0',
  '\x01',
  '\t',
  '\v',
  '\f',
  '\r',
  '\x1f',
  ' ',
  '\x7f',
  '\x80',
  '\x85',
  '\xa0',
  '\xad',
  '\xff',
]
const FRAMING = ['Content-Length: 59', 'Transfer-Encoding: chunked'] as const

test('a framing field whose name is spelt oddly is not framing, and not ignored', async (t) => {
  const { refused } = await harness(t)
  for (const field of FRAMING) {
    const [name = '', value = ''] = field.split(': ')
    const names = ODD_BLANKS.flatMap((odd) => [
      `${name}${odd}`,
      `${odd}${name}`,
      `${name.slice(0, 7)}${odd}${name.slice(7)}`,
    ])
    names.push(
      name.replace('-', '_'),
      name.replace('-', '_').toUpperCase(),
      `"${name}"`,
      `${name}:`,
      `(${name})`,
    )
    for (const odd of names) await refused(post(`${odd}: ${value}\r\n`, HIDDEN))
  }
})

test('a framing field whose value is spelt oddly is refused, alone and beside a good one', async (t) => {
  const { refused } = await harness(t)
  const lengths = [
    '059',
    '+59',
    '-59',
    '59 59',
    '59;',
    '59,59',
    '59, 59',
    '0x3b',
    '0o73',
    '59.',
    '5９',
    '"59"',
    '٥٩',
    '1e1',
    'NaN',
    '59#',
    `59${'\0'}`,
  ]
    .concat(
      ODD_BLANKS.filter((odd) => odd !== ' ' && odd !== '\t').flatMap((odd) => [
        `${odd}59`,
        `59${odd}`,
      ]),
    )
    .map((text) => Buffer.from(text).toString('latin1'))
  for (const length of lengths) {
    await refused(post(`Content-Length: ${length}\r\n`, HIDDEN))
    await refused(post(`Content-Length: ${length}\r\nContent-Length: 59\r\n`, HIDDEN))
    await refused(
      post(`Content-Length: ${length}\r\nTransfer-Encoding: chunked\r\n`, `0\r\n\r\n${HIDDEN}`),
    )
  }
  const codings = [
    'chunked;',
    'chunked ;a=b',
    'chunked,identity',
    'identity',
    'identity,chunked',
    'x-chunked',
    'CHUNKED,',
    ',,chunked',
    'chunked chunked',
    'compress',
    'trailers',
    '*',
    'chunkeḍ',
    'ch\xadunked',
    '1',
    '""',
  ].concat(
    ODD_BLANKS.filter((odd) => odd !== ' ' && odd !== '\t').flatMap((odd) => [
      `${odd}chunked`,
      `chunked${odd}`,
    ]),
  )
  for (const coding of codings) {
    const text = Buffer.from(coding, 'latin1').toString('latin1')
    await refused(post(`Transfer-Encoding: ${text}\r\n`, `0\r\n\r\n${HIDDEN}`))
    await refused(
      post(`Transfer-Encoding: ${text}\r\nTransfer-Encoding: chunked\r\n`, `0\r\n\r\n${HIDDEN}`),
    )
    await refused(
      post(`Transfer-Encoding: chunked\r\nTransfer-Encoding: ${text}\r\n`, `0\r\n\r\n${HIDDEN}`),
    )
    await refused(post(`Content-Length: 59\r\nTransfer-Encoding: ${text}\r\n`, HIDDEN))
  }
})

test('length and coding together are refused in any order, case and company', async (t) => {
  const { refused } = await harness(t)
  const pairs = [
    'Content-Length: 0\r\nTransfer-Encoding: chunked\r\n',
    'Transfer-Encoding: chunked\r\nContent-Length: 0\r\n',
    'content-length: 5\r\nX: y\r\nTRANSFER-ENCODING: chunked\r\n',
    'Transfer-Encoding: chunked\r\nX: y\r\nCONTENT-length: 5\r\nConnection: close\r\n',
    'Expect: 100-continue\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n',
    'Connection: upgrade\r\nUpgrade: tcp\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n',
  ]
  const routes = [
    '/v1.44/containers/x/kill',
    '/v1.44/build',
    '/v1.44/images/load',
    '/v1.44/containers/create',
  ].concat(['/v1.44/containers/x/attach?stream=1', '/v1.44/exec/e/start', '/session', '/nothing'])
  for (const fields of pairs)
    for (const route of routes) await refused(post(fields, `0\r\n\r\n${HIDDEN}`, route))
  for (const fields of pairs)
    await refused(post(fields, `0\r\n\r\n${HIDDEN}`).replace('HTTP/1.1', 'HTTP/1.0'))
})

test('broken chunks end the connection on routes that stream and on routes that do not', async (t) => {
  const { refused, engine } = await harness(t)
  const broken = [
    'g',
    '0x0',
    '-0',
    '+0',
    '0 ',
    ' 0',
    '0\t',
    '0;',
    '0;a',
    '0;a="',
    '0,0',
    '0\0',
    '0_',
    '00000000000000000',
    '80000000',
    '\r\n0',
  ]
    .map((line) => `${line}\r\n\r\n${HIDDEN}`)
    .concat([
      `0\n\r\n${HIDDEN}`,
      `0\r\n\n${HIDDEN}`,
      `0\r\n ${HIDDEN}`,
      `0\r\nX: y\r\n\r\n${HIDDEN}`,
    ])
    .concat([
      `1\r\nab\r\n0\r\n\r\n${HIDDEN}`,
      `2\r\na\r\n0\r\n\r\n${HIDDEN}`,
      `1\r\na\n0\r\n\r\n${HIDDEN}`,
    ])
    .concat([`1\r\na0\r\n\r\n${HIDDEN}`, `0\r\r\n\r\n${HIDDEN}`, `1\ra\r\n0\r\n\r\n${HIDDEN}`])
  for (const body of broken) {
    await refused(post('Transfer-Encoding: chunked\r\n', body))
    // Nothing of a judged body leaves before it is whole
    await refused(
      post(
        'Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n',
        body,
        '/v1.44/volumes/create',
      ),
    )
  }
  for (const body of broken) {
    engine.clear()
    const client = new RawClient(await startFront(t, engine.url))
    client.send(post('Transfer-Encoding: chunked\r\n', `4\r\ndata\r\n${body}`, '/v1.44/build'))
    await client.ended()
    t.ok(client.statuses.every((status) => status >= 400))
    t.ok(engine.requests.length <= 1)
    for (const request of engine.requests) {
      t.equal(request.target.includes('smuggled'), false, JSON.stringify(body.slice(0, 40)))
      t.same(request.complaints, [])
    }
    client.destroy()
  }
})

test('a path is plain or refused: no character added anywhere makes it another path', async (t) => {
  const { engine, refused } = await harness(t)
  const url = await startFront(t, engine.url)
  const plain = '/v1.44/containers/x/json'
  const odd = [
    '//',
    '/.',
    '/./',
    '/..',
    '/../',
    '%2f',
    '%2F',
    '%2e',
    '%2e%2e',
    '%5c',
    '\\',
    '%00',
    '%0d%0a',
    '%20',
    '%25',
    '%2',
    '%zz',
    ';',
    ';a=b',
    '#',
    '%23',
    '%3f',
    '+',
    ',',
    '!',
    '*',
    "'",
    '(',
    '[',
    '{',
    '|',
    '^',
    '`',
    '"',
    '<',
    '\x7f',
    '\x80',
    'é',
    '%c0%ae',
    '%e2%80%ae',
    '%u002e',
    '=',
    '&',
    '$',
    '~',
  ]
  for (const text of odd)
    for (const at of [0, 1, 3, 6, 7, 12, 17, 18, 19, plain.length])
      await refused(
        `GET ${plain.slice(0, at)}${Buffer.from(text).toString('latin1')}${plain.slice(at)} HTTP/1.1\r\nHost: d\r\n\r\n`,
      )
  // What is no escape and no separator may be part of a name; then it is the same name upstream
  for (const text of ['.', '-', '_', '0', 'A', ':'])
    for (let at = 0; at <= plain.length; at++) {
      engine.clear()
      const target = plain.slice(0, at) + text + plain.slice(at)
      const client = new RawClient(url)
      client.send(`GET ${target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n`)
      await client.ended()
      client.destroy()
      t.ok(
        engine.requests.every((request) => request.target === target),
        target,
      )
    }
})

test('a form or a multipart body is refused on every route that an engine would read it on', async (t) => {
  const { refused } = await harness(t)
  const types = [
    'application/x-www-form-urlencoded',
    'Application/X-WWW-Form-URLEncoded',
    'application/x-www-form-urlencoded;charset=utf-8',
    'application/x-www-form-urlencoded; =',
    ' application/x-www-form-urlencoded',
    'multipart/form-data; boundary=B',
    'MULTIPART/mixed; boundary=B',
    'multipart/form-data',
    'application/json, application/x-www-form-urlencoded',
    'application/x-www-form-urlencoded, application/json',
    '; application/json',
    '',
  ]
  const routes = [
    '/images/create?fromImage=ok',
    '/build',
    '/images/load',
    '/containers/x/kill',
    '/containers/x/wait',
    '/containers/x/attach?stream=1',
    '/exec/e/start',
    '/containers/create',
    '/containers/prune',
    '/plugins/pull?remote=a',
    '/commit?container=x',
    '/networks/create',
    '/auth',
  ]
  for (const type of types)
    for (const route of routes) {
      const fields = `Content-Type: ${type}\r\nContent-Length: 14\r\n`
      await refused(post(fields, 'fromImage=evil', `/v1.44${route}`))
    }
  for (const type of types)
    await refused(
      `PUT /v1.44/containers/x/archive?path=/a HTTP/1.1\r\nHost: d\r\nContent-Type: ${type}\r\nContent-Length: 9\r\n\r\npath=/etc`,
    )
})

test('a request says nothing to an engine that berth did not say itself', async (t) => {
  const { forwarded, engine } = await harness(t)
  const fields = [
    'Cookie: a',
    'X-Forwarded-For: 1',
    'Forwarded: for=1',
    'X-Meta-A: b',
    'Range: bytes=0-',
    'If-None-Match: *',
    'X-HTTP-Method-Override: DELETE',
    'X-Original-URL: /x',
    'Via: 1.1 x',
    'Keep-Alive: timeout=9',
    'Proxy-Connection: close',
    'TE: trailers',
    'Authorization: Basic eDp5',
    'Proxy-Authorization: Basic eDp5',
    'Accept-Encoding: gzip',
    'Content-Encoding: gzip',
    'Content-Type: application/json',
    'X-Docker-Expose-Session-Uuid: victim',
    'Sec-WebSocket-Key: a',
    'X-Registry-Auth: e30=',
    'X-Registry-Config: e30=',
    'HTTP2-Settings: AAMAAABk',
    'Upgrade: h2c',
    'Upgrade: websocket',
    'Cookie2: $Version',
    'Host2: x',
    'Date: now',
    'Max-Forwards: 0',
  ]
  for (const field of fields)
    await forwarded(`GET /v1.44/info HTTP/1.1\r\nHost: d\r\n${field}\r\n\r\n`)
  await forwarded(
    `GET /v1.44/info HTTP/1.1\r\nHost: d\r\n${fields.filter((field) => !field.startsWith('Upgrade: h')).join('\r\n')}\r\n\r\n`,
  )
  t.same(
    engine.requests[0]?.fields.map(([name]) => name),
    ['Host'],
  )
})

test('an upgrade that the route does not know is none, and nothing behind it is a tunnel', async (t) => {
  const { engine } = await harness(t)
  const url = await startFront(t, engine.url)
  const upgrades = [
    'tcp',
    'h2c',
    'websocket',
    'TLS/1.0',
    'h2c, tcp',
    'tcp, h2c',
    'HTTP/2.0',
    'connect-udp',
    '',
  ]
  for (const upgrade of upgrades) {
    engine.clear()
    const client = new RawClient(url)
    const fields = `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`
    client.send(
      `GET /v1.44/info HTTP/1.1\r\nHost: d\r\n${fields}\r\nGET /v1.44/containers/smuggled/start HTTP/1.1\r\nHost: d\r\n\r\n`,
    )
    await client.ended()
    t.same(client.statuses, [200, 404], upgrade)
    t.same(
      engine.requests.map(({ target }) => target),
      ['/v1.44/info'],
    )
    client.destroy()
  }
})

test('bodies that belong to a refused request are never requests', async (t) => {
  const { engine } = await harness(t)
  const url = await startFront(t, engine.url)
  const length = `Content-Length: ${HIDDEN.length}\r\n`
  const refused = [
    post(length, HIDDEN, '/v1.44/nothing'),
    post(length, HIDDEN, '/v9.99/containers/create'),
    post(`Content-Type: text/html\r\n${length}`, HIDDEN, '/v1.44/containers/create'),
    post(`Origin: http://x\r\n${length}`, HIDDEN),
    post(length, HIDDEN).replace('Host: d', 'Host: rebound.example'),
    post(`${length}Expect: 200-ok\r\n`, HIDDEN),
    `DELETE /v1.44/containers/x HTTP/1.1\r\nHost: d\r\n${length}\r\n${HIDDEN}`,
    `GET /v1.44/info HTTP/1.1\r\nHost: d\r\n${length}\r\n${HIDDEN}`,
    post(length, HIDDEN, '/v1.44/containers/x/attach?stream=1'),
    post(`Connection: Upgrade\r\nUpgrade: h2c\r\n${length}`, HIDDEN, '/session'),
  ]
  for (const raw of refused) {
    engine.clear()
    const client = new RawClient(url)
    client.send(raw + HIDDEN)
    await client.ended()
    t.equal(client.statuses.length, 1, raw)
    t.ok(client.statuses[0]! >= 400)
    t.same(engine.requests, [])
    client.destroy()
  }
})
