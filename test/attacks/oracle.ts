/** Go's net/http reads the same bytes: berth must be narrower than it, and must mean the same. */
import fc from 'fast-check'
import { test } from 'tap'
import { startFront } from '../support/front.ts'
import { type Oracle, type Seen, startOracle } from '../support/oracle.ts'
import { RawClient } from '../support/raw-client.ts'

/** A request as it is meant. */
interface Meant {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, readonly string[]>>
  readonly body: string
}

// === generated requests ===

const name = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,12}$/)
const text = fc.string({
  unit: fc.constantFrom(...'abz019 ._-~/:=&+%?#"\'<>{}éß日'),
  minLength: 1,
  maxLength: 12,
})

/** A query value, each character spelt raw or escaped as chance has it. */
const spell = (value: string, coins: readonly boolean[]): string =>
  [...value]
    .map((char, at) => {
      if (/[A-Za-z0-9._~-]/.test(char) && coins[at % coins.length]) return char
      if (char === ' ' && coins[at % coins.length]) return '+'
      return [...Buffer.from(char)]
        .map(
          (byte) =>
            `%${byte.toString(16).padStart(2, '0')[coins[0] ? 'toUpperCase' : 'toLowerCase']()}`,
        )
        .join('')
    })
    .join('')

const coins = fc.array(fc.boolean(), { minLength: 1, maxLength: 5 })
const bytes = fc.uint8Array({ maxLength: 300 }).map((data) => Buffer.from(data).toString('latin1'))

/** Target shapes: with what they say, and whether a body goes through to the engine. */
const shape = fc.oneof(
  fc.constant({ method: 'GET', path: '/_ping', query: {}, hasBody: false }),
  fc.tuple(name, text).map(([id, since]) => ({
    method: 'GET',
    path: `/v1.44/containers/${id}/logs`,
    query: { since: [since] },
    hasBody: false,
  })),
  name.map((id) => ({ method: 'DELETE', path: `/v1.44/volumes/${id}`, query: {}, hasBody: false })),
  fc.tuple(text, text).map(([a, b]) => ({
    method: 'POST',
    path: '/v1.44/build',
    query: { t: [a, b] },
    hasBody: true,
  })),
  text.map((path) => ({
    method: 'PUT',
    path: '/v1.44/containers/x/archive',
    query: { path: [`/${path.replaceAll('..', '')}`] },
    hasBody: true,
  })),
  fc.constant({ method: 'POST', path: '/v1.44/images/load', query: {}, hasBody: true }),
)

const framing = fc.oneof(
  fc.constant({ kind: 'length' as const, cuts: [] }),
  fc
    .array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 4 })
    .map((cuts) => ({ kind: 'chunked' as const, cuts })),
)

const chunk = (body: string, cuts: readonly number[]): string => {
  let out = ''
  for (let at = 0, i = 0; at < body.length; i++) {
    const piece = body.slice(at, at + cuts[i % cuts.length]!)
    out += `${i % 2 === 0 ? piece.length.toString(16) : piece.length.toString(16).toUpperCase()}\r\n${piece}\r\n`
    at += piece.length
  }
  return `${out}0\r\n\r\n`
}

const extras = fc.subarray([
  'Accept: */*',
  'X-Unknown: y',
  'Keep-Alive: 5',
  'TE: trailers',
  'Cookie: a=b',
  'aCCEPT-eNCODING: gzip',
])

const request = fc
  .tuple(shape, bytes, framing, coins, extras)
  .map(([shape, body, framing, coins, extras]): { meant: Meant; raw: string } => {
    const pairs = Object.entries(shape.query).flatMap(([key, values]) =>
      values.map((value) => `${key}=${spell(value, coins)}`),
    )
    const target = `${shape.path}${pairs.length > 0 ? `?${pairs.join('&')}` : ''}`
    const fields = ['Host: d', ...extras]
    let payload = ''
    if (shape.hasBody) {
      fields.push('Content-Type: application/x-tar')
      fields.push(
        framing.kind === 'length' ? `Content-Length: ${body.length}` : 'Transfer-Encoding: chunked',
      )
      payload = framing.kind === 'length' ? body : chunk(body, framing.cuts)
    }
    return {
      meant: {
        method: shape.method,
        path: shape.path,
        query: shape.query,
        body: shape.hasBody ? body : '',
      },
      raw: `${shape.method} ${target} HTTP/1.1\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${payload}`,
    }
  })

const pipeline = fc.array(request, { minLength: 1, maxLength: 5 })

// === playing them ===

const send = async (url: string, raw: string, cuts: readonly number[]): Promise<RawClient> => {
  const client = new RawClient(url)
  const pieces: string[] = []
  let rest = raw
  for (const cut of cuts) {
    pieces.push(rest.slice(0, cut))
    rest = rest.slice(cut)
  }
  await client.sendPieces([...pieces.filter((piece) => piece !== ''), rest])
  client.finish()
  await client.ended().catch(() => {})
  client.destroy()
  return client
}

const meaningOf = ({ method, path, query, body }: Seen): Meant => ({ method, path, query, body })

/** Only requests that were whole: a body that breaks off makes none. */
const wholeOnes = (oracle: Oracle, listener: string): Meant[] =>
  oracle
    .seen(listener)
    .filter(({ isBroken }) => !isBroken)
    .map(meaningOf)

test('Go behind berth', { timeout: 120_000 }, async (t) => {
  const oracle = await startOracle(t)
  if (typeof oracle === 'string') return void t.skip(oracle, async () => {})
  const url = await startFront(t, `unix://${oracle.engine}`)

  await t.test('it sees exactly the requests that were meant', async (t) => {
    const cuts = fc.array(fc.nat(120), { maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(pipeline, cuts, async (requests, cuts) => {
        oracle.forget()
        const client = await send(url, requests.map(({ raw }) => raw).join(''), cuts)
        t.same(
          client.statuses,
          requests.map(() => 200),
        )
        t.same(
          wholeOnes(oracle, oracle.engine),
          requests.map(({ meant }) => meant),
        )
      }),
      { numRuns: 250 },
    )
  })

  await t.test(
    'of bytes that were tampered with it sees nothing that it would have read otherwise',
    async (t) => {
      let [forwarded, refused] = [0, 0]
      await fc.assert(
        fc.asyncProperty(
          pipeline,
          fc.array(tampering, { minLength: 1, maxLength: 3 }),
          async (requests, tamperings) => {
            const raw = tamperings.reduce(
              (raw, tamper) => tamper(raw),
              requests.map(({ raw }) => raw).join(''),
            )
            oracle.forget()
            await send(`unix://${oracle.direct}`, raw, [])
            const through = await send(url, raw, [])
            const direct = wholeOnes(oracle, oracle.direct)
            const behind = wholeOnes(oracle, oracle.engine)
            forwarded += behind.length
            refused += through.statuses.filter((status) => status >= 400).length
            const excess = firstExcess(behind, direct)
            if (excess !== undefined) t.same({ raw, excess, behind, direct }, 'the same reading')
          },
        ),
        { numRuns: 1500 },
      )
      t.ok(forwarded > 200 && refused > 200, `${forwarded} were forwarded, ${refused} refused`)
    },
  )
})

/** The first request that came through and is none of those that Go reads, in order; berth may leave out some. */
const firstExcess = (behind: readonly Meant[], direct: readonly Meant[]): Meant | undefined => {
  let at = 0
  return behind.find((meant) => {
    while (at < direct.length && !isNarrowing(meant, direct[at])) at++
    return ++at > direct.length
  })
}

/** True when what came through says no more than what Go reads of the same bytes. */
const isNarrowing = (through: Meant, direct: Meant | undefined): boolean =>
  direct !== undefined &&
  through.method === direct.method &&
  through.path === direct.path &&
  Object.entries(through.query).every(
    ([key, values]) => JSON.stringify(values) === JSON.stringify(direct.query[key]),
  ) &&
  // a route that takes no body has none upstream
  (through.body === direct.body || (through.body === '' && !TAKES_BODY.test(through.path)))

const TAKES_BODY = /build$|load$|archive$/

// === tampering ===

const SNIPPETS = [
  '\r\n',
  '\n',
  '\r',
  ' ',
  '\t',
  '\0',
  '\x7f',
  '\x80',
  ';',
  ':',
  '%',
  '%00',
  '+',
  '0',
  '5',
  'a',
  ',',
  '"',
  '\r\n ',
  '\r\n\r\n',
  '0\r\n\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Content-Length: 0\r\n',
  'Content-Length: 7\r\n',
  'Content-Length: 07\r\n',
  'content_length: 7\r\n',
  'Connection: close\r\n',
  'Connection: Transfer-Encoding\r\n',
  'Expect: 100-continue\r\n',
  'Upgrade: h2c\r\n',
  'Trailer: X\r\n',
  ' HTTP/1.1',
  ' HTTP/1.0',
  '/../',
  '//',
  '&t=x',
  '?',
  '#',
  'GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n',
  'POST /v1.44/build HTTP/1.1\r\nHost: d\r\nContent-Length: 40\r\n\r\n',
]

/** Where something may happen: any place, or behind one of the line ends, where it hurts most. */
const place = fc.record({ isLine: fc.boolean(), nth: fc.nat(5000) })
type Place = { readonly isLine: boolean; readonly nth: number }

const indexOf = (raw: string, { isLine, nth }: Place): number => {
  if (!isLine) return nth % (raw.length + 1)
  const ends = [...raw.matchAll(/\r\n/g)].map(({ index }) => index + (nth % 2 === 0 ? 2 : 0))
  return ends[nth % Math.max(1, ends.length)] ?? 0
}

type Tampering = (raw: string) => string

const insert = fc.tuple(place, fc.constantFrom(...SNIPPETS)).map(
  ([place, snippet]): Tampering =>
    (raw) => {
      const at = indexOf(raw, place)
      return raw.slice(0, at) + snippet + raw.slice(at)
    },
)
const remove = fc.tuple(place, fc.integer({ min: 1, max: 4 })).map(
  ([place, count]): Tampering =>
    (raw) => {
      const at = indexOf(raw, place)
      return raw.slice(0, at) + raw.slice(at + count)
    },
)
const replace = fc.tuple(place, fc.nat(255)).map(
  ([place, byte]): Tampering =>
    (raw) => {
      const at = indexOf(raw, place)
      return raw.slice(0, at) + String.fromCharCode(byte) + raw.slice(at + 1)
    },
)
const repeatLine = place.map(
  (place): Tampering =>
    (raw) => {
      const from = indexOf(raw, { ...place, isLine: true })
      const end = raw.indexOf('\r\n', from)
      return end === -1 ? raw : raw.slice(0, end + 2) + raw.slice(from)
    },
)
const changeCase = place.map(
  (place): Tampering =>
    (raw) => {
      const at = indexOf(raw, place)
      const piece = raw.slice(at, at + 8)
      return (
        raw.slice(0, at) +
        (place.nth % 3 === 0 ? piece.toUpperCase() : piece.toLowerCase()) +
        raw.slice(at + piece.length)
      )
    },
)

const tampering = fc.oneof(insert, insert, insert, remove, replace, repeatLine, changeCase)
