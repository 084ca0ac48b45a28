/** Feeds a parser the same bytes in every segmentation: whole, byte by byte, cut at each place, and with more bytes behind. */
import type { Test } from 'tap'

/** What a parser made of some bytes. */
export interface Parsed<Outcome> {
  readonly outcome: Outcome
  /** How many of the bytes it took; undefined where it wants more, or has refused them. */
  readonly taken: number | undefined
}

/** Makes a new parser and gives it the pieces, one after the other. */
export type Feed<Outcome> = (pieces: readonly Buffer[]) => Parsed<Outcome>

/** What may stand behind a message: the next one, half a line end, a NUL, a chunk. */
const TRAILING = ['', 'GET / HTTP/1.1\r\n\r\n', '\n', '\r', '\r\n\r\n', '\0', '0\r\n\r\n'] as const

/** Longer messages are cut at this many places, spread evenly, instead of at each. */
const MOST_CUTS = 600

export const byteByByte = (bytes: Buffer): Buffer[] =>
  Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))

/** Every segmentation that is tried, each with a name for the report. */
const segmentationsOf = function* (bytes: Buffer): Generator<readonly [string, Buffer[]]> {
  yield ['whole', [bytes]]
  yield ['byte by byte', byteByByte(bytes)]
  const step = Math.max(1, Math.floor(bytes.length / MOST_CUTS))
  for (let at = 1; at < bytes.length; at += step)
    yield [`cut at ${at}`, [bytes.subarray(0, at), bytes.subarray(at)]]
}

/** The first segmentation of which `feed` makes something else than `wanted`. */
const dissent = <Outcome>(bytes: Buffer, feed: Feed<Outcome>, wanted: Parsed<Outcome>) => {
  const behind = wanted.taken === undefined ? [''] : TRAILING
  const text = JSON.stringify(wanted)
  for (const trailing of behind)
    for (const [how, pieces] of segmentationsOf(Buffer.concat([bytes, Buffer.from(trailing)]))) {
      const found = feed(pieces)
      if (JSON.stringify(found) !== text) return { how, trailing, found, wanted }
    }
  return undefined
}

/**
 * Asserts that no segmentation of `message`, and no byte behind it, changes what `feed` makes of it.
 * @returns what it makes of it
 */
export const everySplit = <Outcome>(
  t: Test,
  name: string,
  message: string | Buffer,
  feed: Feed<Outcome>,
): Outcome => {
  const bytes = typeof message === 'string' ? Buffer.from(message, 'latin1') : message
  const whole = feed([bytes])
  t.same(dissent(bytes, feed, whole), undefined, `${name}: the same in every segmentation`)
  if (whole.taken !== undefined)
    t.equal(whole.taken, bytes.length, `${name}: taken to its last byte`)
  return whole.outcome
}
