/** Engines that lie: whatever one answers, a client sees a well-formed message or a cut, and nobody gets another's bytes. */
import { readFileSync } from 'node:fs'
import { type Test, test } from 'tap'
import { startFront } from '../support/front.ts'
import { RawClient, responsesIn } from '../support/raw-client.ts'
import { type Answer, RecordingEngine } from '../support/recording-engine.ts'

interface Vector {
  readonly id: string
  readonly about: string
  readonly raw: string
  readonly upstream: string
  /** Whether the engine ends the connection behind it. */
  readonly upstreamClose: boolean
}

const VECTORS: readonly (Vector & { readonly group: string; readonly expect: string })[] =
  readFileSync(new URL('../../fixtures/attacks.jsonl', import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ group }) => group === 'upstream')

/**
 * - `passes`: the client gets this status and the whole body
 * - `bare`: the client gets this status and no body, though the engine sent one
 * - `refused`: 502, or a response that breaks off visibly
 */
type Fate = 'passes' | 'bare' | 'refused' | 'tunnel'

const FATES: Readonly<Record<string, Fate>> = {
  forward: 'passes',
  'forward-normalized': 'passes',
  'reject-close': 'refused',
}

/** Where the answer differs from what the vector's verdict says in general. */
const FATE_OF: Readonly<Record<string, Fate>> = {
  's-status-upgraded': 'tunnel',
  's-chunk-ext': 'refused', // extensions are refused in both directions
  's-204-body': 'bare',
  's-204-te': 'bare',
  's-304-body': 'bare',
  's-head-body': 'bare',
}

/** Answers after which the connection may carry another request. */
const REUSABLE: ReadonlySet<string> = new Set(
  ['s-ok', 's-304-ok', 's-head-cl', 's-head-te', 's-1xx-1', 's-1xx-103', 's-status-999'].concat([
    'an upgrade refused',
    's-status-nosp',
    's-200-upgrade',
    's-redirect',
    'length',
    'chunked',
    'empty chunked',
    '205',
  ]),
)

const GET = 'GET /v1.44/info HTTP/1.1\r\nHost: d\r\n\r\n'
const HEAD = 'HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n'
const KILL = 'POST /v1.44/containers/x/kill HTTP/1.1\r\nHost: d\r\n\r\n'
const ATTACH =
  'POST /v1.44/containers/x/attach?stream=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\n'
const TWO = 'Content-Length: 2\r\n'
const CHUNKED = 'Transfer-Encoding: chunked\r\n'

type Sibling = readonly [about: string, fate: Fate, raw: string, upstream: string, close?: boolean]

/** Tricks like those of the file, one step further. */
const SIBLINGS: readonly Sibling[] = [
  ['length', 'passes', GET, `${OK}${TWO}\r\nOK`],
  ['chunked', 'passes', GET, `${OK}${CHUNKED}\r\n2\r\nOK\r\n0\r\n\r\n`],
  ['empty chunked', 'passes', GET, `${OK}${CHUNKED}\r\n0\r\n\r\n`],
  ['length, equal, twice', 'refused', GET, `${OK}${TWO}${TWO}\r\nOK`],
  ['length as a list', 'refused', GET, `${OK}Content-Length: 2, 2\r\n\r\nOK`],
  ['length with a sign', 'refused', GET, `${OK}Content-Length: +2\r\n\r\nOK`],
  ['length with a zero before', 'refused', GET, `${OK}Content-Length: 02\r\n\r\nOK`],
  ['length beyond 2^53', 'refused', GET, `${OK}Content-Length: 9007199254740993\r\n\r\nOK`],
  ['length behind NBSP', 'refused', GET, `${OK}Content-Length: \xa02\r\n\r\nOK`],
  ['coding before length', 'refused', GET, `${OK}${CHUNKED}${TWO}\r\n0\r\n\r\n`],
  ['coding twice', 'refused', GET, `${OK}${CHUNKED}${CHUNKED}\r\n0\r\n\r\n`],
  ['identity', 'refused', GET, `${OK}Transfer-Encoding: identity\r\n${TWO}\r\nOK`],
  ['coding and nothing', 'refused', GET, `${OK}Transfer-Encoding:\r\n${TWO}\r\nOK`],
  ['coding by tab', 'refused', GET, `${OK}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n`],
  ['folded length', 'refused', GET, `${OK}Content-Length:\r\n 2\r\n\r\nOK`],
  ['a field line that begins with a blank', 'refused', GET, `${OK} ${TWO}\r\nOK`],
  ['a bare LF in the head', 'refused', GET, `HTTP/1.1 200 OK\n${TWO}\r\nOK`],
  ['LF only', 'refused', GET, 'HTTP/1.1 200 OK\nContent-Length: 2\n\nOK', true],
  ['an empty line before the head', 'refused', GET, `\r\n${OK}${TWO}\r\nOK`],
  ['no status line', 'refused', GET, 'OK\r\n\r\n'],
  ['HTTP/0.9', 'refused', GET, 'OK', true],
  ['nothing, to what may not be asked twice', 'refused', KILL, '', true],
  ['half a head', 'refused', GET, `${OK}Content-Le`, true],
  ['a short body', 'refused', GET, `${OK}Content-Length: 9\r\n\r\nhello`, true],
  ['no last chunk', 'refused', GET, `${OK}${CHUNKED}\r\n2\r\nOK\r\n`, true],
  ['half a last chunk', 'refused', GET, `${OK}${CHUNKED}\r\n2\r\nOK\r\n0\r\n\r`, true],
  ['a trailer', 'refused', GET, `${OK}${CHUNKED}\r\n2\r\nOK\r\n0\r\nX: y\r\n\r\n`],
  ['a chunk too long', 'refused', GET, `${OK}${CHUNKED}\r\n2\r\nOKAY\r\n0\r\n\r\n`],
  ['a chunk of 2^64', 'refused', GET, `${OK}${CHUNKED}\r\n10000000000000002\r\nOK\r\n0\r\n\r\n`],
  ['a second response', 'passes', GET, `${OK}${TWO}\r\nOK${OK}Content-Length: 6\r\n\r\nPOISON`],
  [
    'a response behind the last chunk',
    'passes',
    GET,
    `${OK}${CHUNKED}\r\n0\r\n\r\n${OK}${TWO}\r\nNO`,
  ],
  ['HEAD with chunks', 'bare', HEAD, `${OK}${CHUNKED}\r\n2\r\nOK\r\n0\r\n\r\n`],
  ['HEAD and a second response', 'bare', HEAD, `${OK}${TWO}\r\n${OK}${TWO}\r\nOK`],
  ['304 with chunks', 'bare', GET, `HTTP/1.1 304 X\r\n${CHUNKED}\r\n2\r\nOK\r\n0\r\n\r\n`],
  ['205', 'passes', GET, 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n'],
  [
    '101 to GET',
    'refused',
    GET,
    'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw',
  ],
  [
    '101 to another protocol',
    'refused',
    ATTACH,
    'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
  ],
  ['101 without Connection', 'refused', ATTACH, 'HTTP/1.1 101 X\r\nUpgrade: tcp\r\n\r\nraw'],
  [
    '101 with chunks',
    'refused',
    ATTACH,
    `HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${CHUNKED}\r\n`,
  ],
  [
    '102 to an upgrade, then 101',
    'tunnel',
    ATTACH,
    'HTTP/1.1 102 X\r\n\r\nHTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw',
  ],
  ['an upgrade refused', 'passes', ATTACH, `HTTP/1.1 409 X\r\n${TWO}\r\nNO`],
  [
    'nine interim responses',
    'refused',
    GET,
    `${'HTTP/1.1 103 X\r\n\r\n'.repeat(9)}${OK}${TWO}\r\nOK`,
  ],
  ['an interim response and no other', 'refused', GET, 'HTTP/1.1 100 Continue\r\n\r\n', true],
  ['a NUL in a field that is dropped', 'refused', GET, `${OK}X: \0\r\n${TWO}\r\nOK`],
  ['a CR in a field that is dropped', 'refused', GET, `${OK}X: a\rb\r\n${TWO}\r\nOK`],
  ['close in a list', 'passes', GET, `${OK}Connection: x, Close\r\n${TWO}\r\nOK`],
]

const ID = /\(request [^)]*\)/

/** The first answer is the engine's lie; the one after it says whose it is. */
const lieThenTruth = (upstream: string, close: boolean): Answer => {
  let isFirst = true
  return async (asked) => {
    const { socket, whole } = asked
    asked.isRaw &&= / 101 /.test(upstream)
    await whole
    if (!isFirst) return void socket.write(`${OK}Content-Length: 6\r\n\r\nSECOND`)
    isFirst = false
    if (upstream !== '') socket.write(Buffer.from(upstream, 'latin1'))
    if (close) socket.end()
  }
}

/** What the client may have been shown of this answer: its final status and its decoded body. */
const meaningOf = (upstream: string, isHead: boolean) =>
  responsesIn(
    upstream
      .replace(/^HTTP\/1\.[01] ([0-9]{3})\r\n/, 'HTTP/1.1 $1 \r\n')
      .replace(/^HTTP\/1\.0/, 'HTTP/1.1'),
    isHead,
  ).find(({ status }) => status >= 200)

const FINAL = /^HTTP\/1\.1 (?:[2-9][0-9]{2}|101) /

const play = async (t: Test, vector: Vector, fate: Fate, engine: RecordingEngine, url: string) => {
  engine.clear()
  engine.answer = lieThenTruth(vector.upstream, vector.upstreamClose)
  const isHead = vector.raw.startsWith('HEAD ')
  const client = new RawClient(url, isHead)
  client.send(vector.raw)
  const wanted = meaningOf(vector.upstream, isHead)
  if (fate === 'tunnel') await client.read('raw')
  else
    await client.until(
      'an answer or a cut',
      ({ responses, end, text }) => end !== undefined || (FINAL.test(text) && responses.length > 0),
    )
  const name = `${vector.id}: ${vector.about}`
  const [answer] = client.responses
  if (fate === 'passes') {
    t.equal(answer?.status, wanted?.status, `${name}: status`)
    t.equal(answer?.body, wanted?.body, `${name}: body`)
    t.notMatch(client.text, /POISON/, name)
  } else if (fate === 'bare') {
    t.equal(answer?.status, wanted?.status, `${name}: status`)
    t.equal(client.text, answer?.head, `${name}: no body`)
  } else if (fate === 'refused') {
    const isRefusal = answer?.status === 502 && ID.test(answer.body)
    t.ok(isRefusal || (answer === undefined && client.end === 'reset'), name, {
      text: client.text.slice(0, 300),
      end: client.end,
    })
  }
  client.destroy()
  const second = new RawClient(url)
  second.send(GET)
  await second.until('a second answer', ({ responses }) => responses.length > 0)
  t.equal(second.responses[0]?.body, 'SECOND', `${name}: the next request gets its own answer`)
  second.destroy()
  const [first, next] = engine.requests.map(({ connection }) => connection)
  t.equal(engine.requests.length, 2, `${name}: each request was sent once`)
  t.equal(first === next, REUSABLE.has(vector.id), `${name}: reuse of the connection`)
}

test('answers of the file', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  for (const vector of VECTORS)
    await play(t, vector, FATE_OF[vector.id] ?? FATES[vector.expect]!, engine, url)
})

test('answers like them', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  for (const [about, fate, raw, upstream, close = false] of SIBLINGS)
    await play(t, { id: about, about, raw, upstream, upstreamClose: close }, fate, engine, url)
})

test('an answer means the same however it comes in pieces', async (t) => {
  const engine = await RecordingEngine.start(t)
  const url = await startFront(t, engine.url)
  const answers = SIBLINGS.filter(([, fate, raw]) => fate === 'passes' && raw === GET)
  for (const [about, , , upstream] of answers) {
    const seen = new Set<string>()
    for (const size of [1, 3, 7, upstream.length]) {
      engine.answer = async ({ socket }) => {
        for (let at = 0; at < upstream.length; at += size) {
          socket.write(upstream.slice(at, at + size))
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
      const client = new RawClient(url)
      client.send(GET)
      await client.until('an answer', ({ responses }) => responses.length > 0)
      const [answer] = client.responses
      seen.add(JSON.stringify([answer?.status, answer?.body]))
      client.destroy()
    }
    t.equal(seen.size, 1, about)
  }
})
