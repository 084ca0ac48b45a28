/** Every trick of fixtures/attacks-h2.jsonl against a live berth: how it is answered, and what an engine sees. */
import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { startFront } from '../support/front.ts'
import { H2Client } from '../support/h2-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

interface Vector {
  readonly id: string
  readonly about: string
  /** latin1. */
  readonly raw: string
  readonly expect: 'forward' | 'forward-normalized' | 'reject-400' | 'reject-close'
  /** The most requests an engine may see. */
  readonly maxForward: number
}

const VECTORS: readonly Vector[] = readFileSync(
  new URL('../../fixtures/attacks-h2.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))

/**
 * Served without what is wrong with them: nghttp2 drops a field that breaks the grammar, or trims it, before anybody
 * sees it, and nobody wants trailers.
 */
const SERVED =
  /^h2-(?:name-(?:crlf|colon|sp|nul|8bit|ctl)|val-(?:crlf|lf|cr|nul)|ws-(?:sp|sp-end|tab)|trailers-cl)$/
/** Refused, where others would guess: no name at all, and bodies that never end for a route that takes none. */
const REFUSED: ReadonlySet<string> = new Set(['h2-auth-none', 'h2-streams-300'])
/** What is wrong comes after the answer, or the end that an answer waits for never comes. */
const UNANSWERED: ReadonlySet<string> = new Set(['h2-data-after-end', 'h2-grpc-prefix'])

/** For those that nothing answers, and for a connection that has to be found out by its silence. */
const PATIENCE_MS = 1500

const pieces = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  )

const play = async (url: string, { raw, expect }: Vector, size: number): Promise<H2Client> => {
  const client = new H2Client(url, false)
  const isOver = (seen: H2Client): boolean =>
    seen.isEnded ||
    seen.goaway !== undefined ||
    (expect !== 'reject-close' && seen.answer(1) !== undefined)
  for (const piece of pieces(Buffer.from(raw, 'latin1'), size)) {
    client.send(piece)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await client.until('an answer', isOver, PATIENCE_MS).catch(() => {})
  client.socket.destroy()
  return client
}

const isRefused = (client: H2Client): boolean => {
  const answer = client.answer(1)
  return client.goaway !== undefined || client.isEnded || (answer !== undefined && answer !== 200)
}

const faultsOf = (vector: Vector, client: H2Client, engine: RecordingEngine): string[] => {
  const { requests } = engine
  const faults = requests.flatMap(({ complaints }) => [...complaints])
  // gRPC goes where nothing but gRPC is served, whatever its path says
  const builds = requests.filter(({ target }) => target === '/grpc')
  const isServed = SERVED.test(vector.id)
  const most = isServed ? 1 : vector.maxForward
  const mustRefuse = vector.expect.startsWith('reject') && !isServed
  if (requests.length - builds.length > most) faults.push('the engine saw too much')
  if (requests.some(({ target }) => target.includes('smuggled'))) faults.push('smuggled')
  if (mustRefuse && !UNANSWERED.has(vector.id) && builds.length === 0 && !isRefused(client))
    faults.push('it was not refused')
  if (vector.expect === 'reject-close' && client.goaway === undefined && !client.isEnded)
    faults.push('the connection was not ended')
  if (vector.expect.startsWith('forward') && !REFUSED.has(vector.id) && requests.length === 0)
    faults.push('it was refused')
  return faults
}

test('the tricks of HTTP/2 come to nothing', { jobs: 8 }, async (t) => {
  for (const vector of VECTORS)
    void t.test(`${vector.id}: ${vector.about}`, async (t) => {
      for (const size of [1 << 20, 61]) {
        const engine = await RecordingEngine.start(t)
        const client = await play(await startFront(t, engine.url, { headSeconds: 1 }), vector, size)
        t.same(faultsOf(vector, client, engine), [], `in pieces of ${size}`, {
          answer: client.answer(1),
          frames: client.summary,
          requests: engine.requests,
        })
      }
    })
})
