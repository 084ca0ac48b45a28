/** An engine that writes down every request it sees, holds it against the one canonical form, and answers as it is told. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

export interface Recorded {
  readonly method: string
  readonly target: string
  /** Names as written, in order. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  /** Decoded, as latin1. */
  body: string
  /** Counts the connections to the engine, from 0. */
  readonly connection: number
  /** What is not canonical about it; empty, as it should be. */
  readonly complaints: readonly string[]
}

/** One request with the connection it came over. */
export interface Asked {
  readonly request: Recorded
  readonly socket: Socket
  /** How many requests this connection has carried, this one included. */
  readonly nth: number
  /** Resolves when the body is in; at once for a request without one. */
  readonly whole: Promise<void>
  /** What follows is no HTTP: true from the start where an upgrade was asked for, until the answer says otherwise. */
  isRaw: boolean
  /** Bytes that follow an upgrade, as they come. */
  onRaw: ((bytes: Buffer) => void) | undefined
}

export type Answer = (asked: Asked) => void | Promise<void>

const OK = 'HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 2\r\n\r\nOK'
const SWITCH = (to: string): string =>
  `HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: ${to}\r\n\r\n`

/** 101 where an upgrade was asked for, else 200 once the body is in. */
export const answerOk: Answer = async ({ request, socket, whole }) => {
  const upgrade = request.fields.find(([name]) => name === 'Upgrade')?.[1]
  await whole
  socket.write(upgrade === undefined ? OK : SWITCH(upgrade))
}

/** Writes `text` when the request is in, and ends the connection if told to. */
export const answerWith =
  (text: string, close = false): Answer =>
  async ({ socket, whole }) => {
    await whole
    socket.write(Buffer.from(text, 'latin1'))
    if (close) socket.end()
  }

const REQUEST_LINE = /^(GET|HEAD|POST|PUT|DELETE) (\/[A-Za-z0-9._~:@/?&=%!'()*-]*) HTTP\/1\.1$/
const FIELD = /^([A-Z][A-Za-z0-9-]*): ([\t\x20-\x7e]*)$/

/** Every field that may ever reach an engine. */
const KNOWN = new Set(
  `Host Accept Accept-Encoding Baggage Connection Content-Length Content-Type Traceparent Tracestate Transfer-Encoding
  Upgrade User-Agent X-Registry-Auth X-Registry-Config X-Docker-Expose-Session-Uuid X-Docker-Expose-Session-Name
  X-Docker-Expose-Session-Sharedkey X-Docker-Expose-Session-Grpc-Method Sec-Websocket-Extensions Sec-Websocket-Key
  Sec-Websocket-Protocol Sec-Websocket-Version`.split(/\s+/),
)
const REPEATED = 'X-Docker-Expose-Session-Grpc-Method'

type Fields = readonly (readonly [name: string, value: string])[]

const valueIn = (fields: Fields, name: string): string | undefined =>
  fields.find(([each]) => each === name)?.[1]

const lineComplaints = (fields: Fields): string[] =>
  fields.flatMap(([name, text]) => {
    const found: string[] = []
    if (!KNOWN.has(name)) found.push(`field ${name}`)
    if (text !== text.trim()) found.push(`blanks around ${name}`)
    if (name !== REPEATED && fields.filter(([each]) => each === name).length > 1)
      found.push(`${name} twice`)
    return found
  })

const framingComplaints = (fields: Fields): string[] => {
  const found: string[] = []
  const [length, coding] = ['Content-Length', 'Transfer-Encoding'].map((name) =>
    valueIn(fields, name),
  )
  if (length !== undefined && coding !== undefined) found.push('length and coding')
  if (length !== undefined && !/^(?:0|[1-9][0-9]{0,14})$/.test(length))
    found.push(`length ${length}`)
  if (coding !== undefined && coding !== 'chunked') found.push(`coding ${coding}`)
  return found
}

const connectionComplaints = (fields: Fields): string[] => {
  const found: string[] = []
  const [host, connection, upgrade] = ['Host', 'Connection', 'Upgrade'].map((name) =>
    valueIn(fields, name),
  )
  if (host !== 'berth') found.push(`Host ${host}`)
  if (connection !== (upgrade === undefined ? undefined : 'Upgrade'))
    found.push(`Connection ${connection}`)
  if (upgrade !== undefined && !['tcp', 'h2c', 'websocket'].includes(upgrade))
    found.push(`Upgrade ${upgrade}`)
  return found
}

const readHead = (text: string, connection: number): Recorded => {
  const [line = '', ...rest] = text.split('\r\n')
  const asked = REQUEST_LINE.exec(line)
  const fields = rest.map((field): readonly [string, string] => {
    const parts = FIELD.exec(field)
    return [parts?.[1] ?? `(broken) ${field}`, parts?.[2] ?? '']
  })
  return {
    method: asked?.[1] ?? '',
    target: asked?.[2] ?? '',
    fields,
    body: '',
    connection,
    complaints: [
      ...(asked === null ? [`request line ${line}`] : []),
      ...lineComplaints(fields),
      ...framingComplaints(fields),
      ...connectionComplaints(fields),
    ],
  }
}

/** Reads one connection: requests one after the other, or raw bytes behind an upgrade. */
class Reading {
  #text = ''
  #asked: Asked | undefined
  #bodyIn: () => void = () => {}
  #left: number | 'chunked' = 0
  #nth = 0
  readonly #engine: RecordingEngine
  readonly #socket: Socket
  readonly #connection: number

  constructor(engine: RecordingEngine, socket: Socket, connection: number) {
    this.#engine = engine
    this.#socket = socket
    this.#connection = connection
  }

  get isRaw(): boolean {
    return this.#asked?.isRaw ?? false
  }

  take(bytes: Buffer): void {
    this.#text += bytes.toString('latin1')
    while (this.#text !== '' && this.#step());
  }

  /** False when it needs more bytes. */
  #step(): boolean {
    if (this.#left !== 0) return this.#readBody()
    if (!this.#asked?.isRaw) return this.#readHead()
    this.#asked.onRaw?.(Buffer.from(this.#text, 'latin1'))
    this.#text = ''
    return false
  }

  #readHead(): boolean {
    const end = this.#text.indexOf('\r\n\r\n')
    if (end === -1) return false
    const request = readHead(this.#text.slice(0, end), this.#connection)
    this.#text = this.#text.slice(end + 4)
    const value = (name: string) => request.fields.find(([each]) => each === name)?.[1]
    const isRaw = value('Upgrade') !== undefined
    this.#left = value('Transfer-Encoding') ? 'chunked' : Number(value('Content-Length') ?? 0)
    const whole = new Promise<void>((resolve) => {
      this.#bodyIn = resolve
    })
    this.#asked = {
      request,
      socket: this.#socket,
      nth: ++this.#nth,
      whole,
      isRaw,
      onRaw: undefined,
    }
    this.#engine.heard(this.#asked)
    if (this.#left === 0) this.#bodyIn()
    return true
  }

  #readBody(): boolean {
    const { request } = this.#asked!
    if (this.#left === 'chunked') {
      const line = /^([0-9a-fA-F]{1,16})\r\n/.exec(this.#text)
      if (line === null) return false
      const size = Number.parseInt(line[1]!, 16)
      const end = line[0].length + size + 2
      if (this.#text.length < end) return false
      request.body += this.#text.slice(line[0].length, end - 2)
      this.#text = this.#text.slice(end)
      if (size > 0) return true
      this.#left = 0
    } else {
      const piece = this.#text.slice(0, this.#left)
      request.body += piece
      this.#left -= piece.length
      this.#text = this.#text.slice(piece.length)
      if (this.#left > 0) return false
    }
    this.#bodyIn()
    return true
  }
}

export class RecordingEngine {
  /** `unix:///PATH` or `tcp://127.0.0.1:PORT`. */
  readonly url: string
  requests: Recorded[] = []
  answer: Answer = answerOk
  /** How many connections were ever opened to it. */
  connections = 0
  readonly sockets = new Set<Socket>()
  readonly #server: Server
  readonly #waiting = new Set<() => void>()

  private constructor(server: Server, url: string) {
    this.#server = server
    this.url = url
    server.on('connection', (socket) => {
      const reading = new Reading(this, socket, this.connections++)
      this.sockets.add(socket)
      socket.on('data', (bytes) => reading.take(bytes))
      socket.on('error', () => {})
      // As Go does: a client that has ended is gone, but for a hijacked connection, which is the answer's to end
      socket.on('end', () => reading.isRaw || socket.destroy())
      socket.on('close', () => {
        this.sockets.delete(socket)
        this.#changed()
      })
      this.#changed()
    })
  }

  /** On a unix socket, or on TCP, where connections can be reset. */
  static async start(t: Test, kind: 'unix' | 'tcp' = 'unix'): Promise<RecordingEngine> {
    const folder = mkdtempSync(join(tmpdir(), 'berth-engine-'))
    const path = join(folder, 'engine.sock')
    const server = createServer({ allowHalfOpen: true, noDelay: true })
    await new Promise<void>((resolve) =>
      server.listen(kind === 'unix' ? { path } : { host: '127.0.0.1', port: 0 }, resolve),
    )
    const bound = server.address()
    const url = typeof bound === 'string' ? `unix://${path}` : `tcp://127.0.0.1:${bound?.port}`
    const engine = new RecordingEngine(server, url)
    t.teardown(async () => {
      await engine.stop()
      rmSync(folder, { recursive: true })
    })
    return engine
  }

  /** Ends it and every connection, as a killed process would. */
  stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    if (!this.#server.listening) return Promise.resolve()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  heard(asked: Asked): void {
    this.requests.push(asked.request)
    void this.answer(asked)
    this.#changed()
  }

  #changed(): void {
    for (const look of this.#waiting) look()
  }

  /** Resolves once `holds`. */
  until(what: string, holds: (engine: this) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!holds(this)) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(look)
        reject(new Error(`${what}: never; it saw ${JSON.stringify(this.requests)}`))
      }, 10_000)
      this.#waiting.add(look)
      look()
    })
  }

  /** Forgets what it has seen. */
  clear(): void {
    this.requests = []
  }
}
