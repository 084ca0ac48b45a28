/** An HTTP/2 client that writes the frames it is told to, right or wrong, and keeps all that come back. */
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'

export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

/** RFC 9113 6. */
export const TYPE = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const
export const END_STREAM = 1
export const ACK = 1
export const END_HEADERS = 4

/** RFC 9113 7. */
export const CODE = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export const frame = (
  type: number,
  flags: number,
  stream: number,
  payload: Buffer | string = '',
): Buffer => {
  const bytes = Buffer.from(payload as string, 'latin1')
  const head = Buffer.alloc(9)
  head.writeUIntBE(bytes.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, bytes])
}

/** RFC 7541 6.2.2, literal without indexing and without Huffman: any text can be a field. */
const literal = (text: string): Buffer => {
  const bytes = Buffer.from(text, 'latin1')
  const length = bytes.length < 127 ? [bytes.length] : [127, ...continued(bytes.length - 127)]
  return Buffer.concat([Buffer.from(length), bytes])
}
const continued = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...continued(value >> 7)]

export type Fields = readonly (readonly [name: string, value: string])[]

export const block = (fields: Fields): Buffer =>
  Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]),
  )

/** A request as clients send it, with more or other fields. */
export const request = (method: string, path: string, more: Fields = []): Fields => [
  [':method', method],
  [':scheme', 'http'],
  [':path', path],
  [':authority', 'localhost'],
  ...more,
]

/** RFC 7541 A: what servers make of `:status` when it is one of these. */
const STATUS: Readonly<Record<number, number>> = {
  136: 200,
  137: 204,
  138: 206,
  139: 304,
  140: 400,
  141: 404,
  142: 500,
}

const PATIENCE_MS = 10_000

export class H2Client {
  readonly socket: Socket
  readonly frames: Frame[] = []
  isEnded = false
  readonly #acknowledges: boolean
  #rest = Buffer.alloc(0)
  readonly #waiting = new Set<() => void>()

  /**
   * @param url `tcp://HOST:PORT` or `unix:///PATH`
   * @param acknowledges false for whoever writes every byte himself
   */
  constructor(url: string, acknowledges = true) {
    this.#acknowledges = acknowledges
    const { hostname, port } = new URL(url.replace('tcp:', 'http:'))
    this.socket = url.startsWith('unix:')
      ? connect({ path: url.slice('unix://'.length) })
      : connect({ host: hostname, port: Number(port), noDelay: true })
    this.socket.on('data', (bytes: Buffer) => this.#read(bytes))
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.isEnded = true
      this.#changed()
    })
  }

  #read(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    for (;;) {
      if (this.#rest.length < 9) break
      const end = 9 + this.#rest.readUIntBE(0, 3)
      if (this.#rest.length < end) break
      const [type = 0, flags = 0] = this.#rest.subarray(3, 5)
      const payload = this.#rest.subarray(9, end)
      this.frames.push({ type, flags, stream: this.#rest.readUInt32BE(5) & 0x7fffffff, payload })
      this.#rest = this.#rest.subarray(end)
      if (this.#acknowledges && type === TYPE.SETTINGS && (flags & ACK) === 0)
        this.send(frame(TYPE.SETTINGS, ACK, 0))
    }
    this.#changed()
  }

  #changed(): void {
    for (const look of this.#waiting) look()
  }

  send(...pieces: (Buffer | string)[]): this {
    for (const piece of pieces)
      if (!this.socket.destroyed) this.socket.write(Buffer.from(piece as string, 'latin1'))
    return this
  }

  /** The preface and empty SETTINGS. */
  greet(): this {
    return this.send(PREFACE, frame(TYPE.SETTINGS, 0, 0))
  }

  /** A whole field list in one frame. */
  headers(stream: number, fields: Fields, flags = END_HEADERS | END_STREAM): this {
    return this.send(frame(TYPE.HEADERS, flags, stream, block(fields)))
  }

  /** Resolves once `holds`. */
  until(what: string, holds: (client: this) => boolean, patience = PATIENCE_MS): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!holds(this)) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(look)
        reject(new Error(`${what}: never; ${JSON.stringify(this.summary)}`))
      }, patience)
      this.#waiting.add(look)
      look()
    })
  }

  /** Frames of one stream and type. */
  of(stream: number, type: number): readonly Frame[] {
    return this.frames.filter((each) => each.stream === stream && each.type === type)
  }

  /** How a stream has been answered: its status, `reset CODE`, or undefined so far. */
  answer(stream: number): number | string | undefined {
    const reset = this.of(stream, TYPE.RST_STREAM)[0]?.payload.readUInt32BE(0)
    const [head] = this.of(stream, TYPE.HEADERS)
    if (head === undefined) return reset === undefined ? undefined : `reset ${reset}`
    const first = [...head.payload].find((byte) => byte >= 64 || byte < 32)
    return STATUS[first ?? 0] ?? 'another status'
  }

  async answered(stream: number): Promise<number | string | undefined> {
    await this.until(
      `an answer on stream ${stream}`,
      (client) => client.answer(stream) !== undefined || client.isEnded,
    )
    return this.answer(stream)
  }

  /** The body of an answer, once it has ended. */
  async body(stream: number): Promise<string> {
    const isLast = ({ flags }: Frame): boolean => (flags & END_STREAM) !== 0
    await this.until(`the end of stream ${stream}`, (client) =>
      client.frames.some((each) => each.stream === stream && isLast(each)),
    )
    return Buffer.concat(this.of(stream, TYPE.DATA).map(({ payload }) => payload)).toString()
  }

  /** The code of the first GOAWAY that has one: a second one may follow as the connection is taken down. */
  get goaway(): number | undefined {
    const codes = this.of(0, TYPE.GOAWAY).map(({ payload }) => payload.readUInt32BE(4))
    return codes.find((code) => code !== CODE.NO_ERROR) ?? codes[0]
  }

  /** Resolves once the connection has ended, with the code of its GOAWAY. */
  async ended(): Promise<number | undefined> {
    await this.until('an end', ({ isEnded }) => isEnded)
    return this.goaway
  }

  get summary(): readonly string[] {
    return this.frames.map(
      ({ type, flags, stream, payload }) => `${type}/${flags}/${stream}/${payload.length}`,
    )
  }
}

/** A client that is gone when the test is over. */
export const h2Client = (t: Test, url: string): H2Client => {
  const client = new H2Client(url)
  t.teardown(() => client.socket.destroy())
  return client
}
