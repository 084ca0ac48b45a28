/** Floods over HTTP/2 as whoever means harm sends them: bytes made beforehand, at a rate, for as long as anybody reads. */
import {
  ACK,
  block,
  END_HEADERS,
  END_STREAM,
  type Fields,
  frame,
  PREFACE,
  request,
  TYPE,
} from './h2-client.ts'

const many = (count: number, bytes: Buffer): Buffer => Buffer.concat(Array(count).fill(bytes))

/** How often in a second a piece of a flood is sent. */
export const PIECES_A_SECOND = 100

/** RFC 9113 5.1.1: a stream of its own for each, until the ids of a second's worth are used up. */
const streams = (count: number, make: (stream: number) => Buffer): readonly Buffer[] => {
  const a_piece = count / PIECES_A_SECOND
  return Array.from({ length: PIECES_A_SECOND }, (_, piece) =>
    Buffer.concat(Array.from({ length: a_piece }, (_, at) => make(1 + 2 * (piece * a_piece + at)))),
  )
}

const REQUEST = block(request('GET', '/_ping'))
const CANCEL = '\0\0\0\x08'
const WHOLE = END_HEADERS | END_STREAM

/** RFC 7541 6.2.1: one field of 4,000 bytes goes into the table, and one byte brings it back each time. */
const BOMB: Fields = request('GET', '/_ping')
const planted = Buffer.concat([
  block(BOMB),
  Buffer.from([0x40, 1, 0x78, 127, 0xa1, 0x1e]),
  Buffer.alloc(4000, 'x'),
])
const bomb = (stream: number): Buffer =>
  frame(
    TYPE.HEADERS,
    WHOLE,
    stream,
    Buffer.concat([stream === 1 ? planted : block(BOMB), Buffer.alloc(12_000, 0x80 | 62)]),
  )

export interface Flood {
  /** The pieces of a second, in order; the last one leaves nothing new to send. */
  readonly pieces: readonly Buffer[]
  /** What berth's log calls it. */
  readonly reason: RegExp
}

const steady = (bytes: Buffer): readonly Buffer[] => Array(PIECES_A_SECOND).fill(bytes)
const opened = frame(
  TYPE.HEADERS,
  END_HEADERS,
  1,
  block(request('POST', '/images/load', [['content-type', 'application/x-tar']])),
)

export const FLOODS = {
  'rapid reset': {
    pieces: streams(50_000, (stream) =>
      Buffer.concat([
        frame(TYPE.HEADERS, WHOLE, stream, REQUEST),
        frame(TYPE.RST_STREAM, 0, stream, CANCEL),
      ]),
    ),
    reason: /rapid reset/,
  },
  continuation: {
    pieces: [
      frame(TYPE.HEADERS, END_STREAM, 1, REQUEST),
      ...steady(many(500, frame(TYPE.CONTINUATION, 0, 1, block([['x', 'y']])))),
    ],
    reason: /CONTINUATION flood/,
  },
  'HPACK bomb': { pieces: streams(1000, bomb), reason: /reset|header/ },
  ping: { pieces: steady(many(1000, frame(TYPE.PING, 0, 0, '12345678'))), reason: /PING flood/ },
  settings: { pieces: steady(many(1000, frame(TYPE.SETTINGS, 0, 0))), reason: /SETTINGS flood/ },
  'empty DATA': {
    pieces: [opened, ...steady(many(1000, frame(TYPE.DATA, 0, 1)))],
    reason: /empty or padded DATA flood/,
  },
  'window update': {
    pieces: steady(many(1000, frame(TYPE.WINDOW_UPDATE, 0, 0, '\0\0\0\x01'))),
    reason: /WINDOW_UPDATE flood/,
  },
} as const satisfies Record<string, Flood>

export type FloodName = keyof typeof FLOODS

export const GREETING = Buffer.concat([Buffer.from(PREFACE), frame(TYPE.SETTINGS, 0, 0)])
export const ACKNOWLEDGEMENT = frame(TYPE.SETTINGS, ACK, 0)
