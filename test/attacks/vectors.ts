/** Every vector of fixtures/attacks.jsonl against a live berth: what a client sees, and what an engine does. */
import { readFileSync } from 'node:fs'
import { type Test, test } from 'tap'
import { byteByByte } from '../support/every-split.ts'
import { startFront } from '../support/front.ts'
import { RawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

interface Vector {
  readonly id: string
  readonly group: string
  readonly about: string
  /** latin1. */
  readonly raw: string
  readonly expect: 'forward' | 'forward-normalized' | 'reject-400' | 'reject-501' | 'reject-close'
  /** The most requests an engine may see. */
  readonly maxForward: number
  readonly upstream?: string
}

const VECTORS: readonly Vector[] = readFileSync(
  new URL('../../fixtures/attacks.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))

/** Vectors that could be let through in another form, and are refused here. */
const MAY_REFUSE: ReadonlySet<string> = new Set([
  // chunk extensions and trailers: no docker client sends them, and parsers disagree about them
  'c-ext',
  'c-ext-quoted',
  'c-last-ext',
  'c-trailer',
  'c-trailer-cl',
  'c-trailer-te',
  'c-trailer-xra',
  // an underscore in a known name is an alias to some
  'h-name-under',
  // escapes in paths are refused, whatever they spell
  'p-enc-colon',
  // one spelling of each route
  'p-tslash-net',
  // denied by policy, with a body behind it: the connection ends
  'pl-deny-1st',
])

/** Vectors whose trick is that their message never ends: they are kept waiting, and their end is a cut. */
const NEVER_END: ReadonlySet<string> = new Set(['f-cl-short', 'c-trunc', 'pl-early-reject'])

/** Vectors that a policy refuses, not the grammar: they are sent to a berth that has one. */
const LEFT_TO_POLICY: ReadonlySet<string> = new Set(['pl-deny-1st', 'pl-early-reject'])

/** Vectors that end by a deadline: once is enough. */
const WAITS: ReadonlySet<string> = new Set(['r-partial', 'r-h09', 'f-nobody-post'])

/** A generator of small numbers: the same splits each time, or a failure could not be looked at again. */
const random = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return state / 0x7fffffff
  }
}

const randomPieces = (bytes: Buffer, seed: number): Buffer[] => {
  const next = random(seed)
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + Math.floor(next() * next() * Math.max(24, bytes.length / 4))
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return pieces
}

/** Byte by byte as far as heads go; what is longer continues in larger pieces. */
const FINE = 700
const finely = (bytes: Buffer): Buffer[] => [
  ...byteByByte(bytes.subarray(0, FINE)),
  ...(bytes.length > FINE ? randomPieces(bytes.subarray(FINE), 3) : []),
]

const segmentationsOf = (bytes: Buffer): readonly (readonly [string, Buffer[]])[] => [
  ['whole', [bytes]],
  ['byte by byte', finely(bytes)],
  ['split one way', randomPieces(bytes, bytes.length + 1)],
  ['split another way', randomPieces(bytes, bytes.length + 7919)],
]

const isRefusal = (status: number): boolean => status >= 400

/** Long enough for everything that is going to happen, where nothing tells that it has. */
const QUIET_MS = 100

/** Responses that answer a request: `100 Continue` asks for its body. */
const finalOf = ({ statuses }: RawClient): number[] => statuses.filter((status) => status !== 100)

/** Sends it, and waits until berth has ended the connection or has said all that it will say. */
const play = async (url: string, vector: Vector, pieces: Buffer[]): Promise<RawClient> => {
  const client = new RawClient(url, vector.raw.startsWith('HEAD '))
  await client.sendPieces(pieces)
  const isSaid = (client: RawClient): boolean =>
    client.end !== undefined ||
    (vector.expect.startsWith('forward') && finalOf(client).length >= vector.maxForward)
  const patience = NEVER_END.has(vector.id) ? QUIET_MS : 3000
  await client.until('all that it will say', isSaid, patience).catch(() => {})
  client.destroy()
  return client
}

const judge = (
  t: Test,
  vector: Vector,
  how: string,
  client: RawClient,
  engine: RecordingEngine,
) => {
  const { statuses, end } = client
  const { requests } = engine
  const report = { id: vector.id, how, statuses, end, requests, tail: client.text.slice(0, 300) }
  const complaints = requests.flatMap((request) => request.complaints)
  const final = finalOf(client)
  const isRefused = final.some(isRefusal)
  const faults: string[] = []
  if (requests.length > vector.maxForward) faults.push('the engine saw too much')
  if (complaints.length > 0) faults.push('the engine saw what is not canonical')
  if (requests.some(({ target }) => target.includes('smuggled'))) faults.push('one was smuggled')
  if (statuses.filter((status) => status === 100).length > vector.maxForward)
    faults.push('it was invited too often')
  if (vector.expect.startsWith('reject')) {
    if (end === undefined) faults.push('the connection was not closed')
    if (vector.expect !== 'reject-close' && !isRefused && requests.length === 0)
      faults.push('it was not refused')
    if (final.filter((status) => !isRefusal(status)).length > vector.maxForward)
      faults.push('more was answered than forwarded')
    if (isRefused && !isRefusal(final.at(-1)!))
      faults.push('something was answered after a refusal')
  } else if (requests.length === 0 && !MAY_REFUSE.has(vector.id) && !NEVER_END.has(vector.id))
    faults.push('it was refused')
  t.same(faults, [], `${vector.id}, ${how}: ${vector.about}`, faults.length > 0 ? { report } : {})
}

const GROUPS = [...new Set(VECTORS.map(({ group }) => group))].filter(
  (group) => group !== 'upstream',
)

for (const group of GROUPS)
  test(`the tricks of ${group} come to nothing`, async (t) => {
    const engine = await RecordingEngine.start(t)
    const url = await startFront(t, engine.url, { headSeconds: 1 })
    const strict = await startFront(t, engine.url, { profile: 'dedicated' })
    for (const vector of VECTORS) {
      if (vector.group !== group) continue
      const segmentations = segmentationsOf(Buffer.from(vector.raw, 'latin1'))
      for (const [how, pieces] of WAITS.has(vector.id)
        ? segmentations.slice(1, 2)
        : segmentations) {
        engine.clear()
        const client = await play(LEFT_TO_POLICY.has(vector.id) ? strict : url, vector, pieces)
        judge(t, vector, how, client, engine)
      }
    }
  })
