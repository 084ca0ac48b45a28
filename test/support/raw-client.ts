/** A client that writes the bytes it is told to, in the pieces it is told to, and keeps all that comes back. */
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'

const PATIENCE_MS = 10_000

/** `tcp://HOST:PORT` or `unix:///PATH`. */
const open = (url: string): Socket => {
  const path = url.startsWith('unix://') ? url.slice('unix://'.length) : undefined
  if (path !== undefined) return connect({ path, allowHalfOpen: true })
  const { hostname, port } = new URL(url.replace('tcp:', 'http:'))
  return connect({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true })
}

/** Lets everybody else in this process read what has been written. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** How a connection came to an end. */
export type End = 'fin' | 'reset'

export class RawClient {
  readonly socket: Socket
  /** Everything received, as latin1. */
  text = ''
  end: End | undefined
  /** True once the connection is gone in both directions. */
  isClosed = false
  /** True for one that asks with HEAD: no answer has a body. */
  readonly isHead: boolean
  readonly #waiting = new Set<() => void>()

  constructor(url: string, isHead = false) {
    this.isHead = isHead
    this.socket = open(url)
    this.socket.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('latin1')
      this.#changed()
    })
    this.socket.on('end', () => {
      this.end ??= 'fin'
      this.#changed()
    })
    this.socket.on('error', () => {
      this.end = 'reset'
      this.#changed()
    })
    this.socket.on('close', () => {
      this.isClosed = true
      this.#changed()
    })
  }

  #changed(): void {
    for (const look of this.#waiting) look()
  }

  /** Resolves once `holds`, and rejects with what has come instead when it never does. */
  until(what: string, holds: (client: this) => boolean, patienceMs = PATIENCE_MS): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!holds(this)) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(look)
        const seen = JSON.stringify(this.text.slice(-400))
        reject(new Error(`${what}: not within ${patienceMs} ms; ${this.end ?? 'open'}, ${seen}`))
      }, patienceMs)
      this.#waiting.add(look)
      look()
    })
  }

  /** Resolves once the text received matches. */
  async read(pattern: RegExp | string): Promise<string> {
    const matches = (text: string): boolean =>
      typeof pattern === 'string' ? text.includes(pattern) : pattern.test(text)
    await this.until(`text ${pattern}`, ({ text }) => matches(text))
    return this.text
  }

  /** Resolves once the other side has ended, and tells how. */
  async ended(): Promise<End> {
    await this.until('an end', ({ end }) => end !== undefined)
    return this.end!
  }

  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    return this
  }

  /** One piece a turn of the event loop, so that each is read by itself. */
  async sendPieces(pieces: readonly (string | Buffer)[]): Promise<void> {
    for (const piece of pieces) {
      if (this.end === 'reset' || this.socket.destroyed) return
      this.send(piece)
      await turn()
    }
  }

  /** Half-closes. */
  finish(): this {
    this.socket.end()
    return this
  }

  reset(): void {
    this.socket.resetAndDestroy()
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** The responses received so far, as far as they are complete. */
  get responses(): readonly Response[] {
    return responsesIn(this.text, this.isHead)
  }

  get statuses(): readonly number[] {
    return this.responses.map(({ status }) => status)
  }
}

/** A client that is gone when the test is over. */
export const rawClient = (t: Test, url: string): RawClient => {
  const client = new RawClient(url)
  t.teardown(() => client.destroy())
  return client
}

export interface Response {
  readonly status: number
  readonly head: string
  readonly body: string
}

/** Cuts responses out of a byte stream, by Content-Length or chunk lines: enough for what berth writes. */
export const responsesIn = (text: string, isHead = false): Response[] => {
  const found: Response[] = []
  let rest = text
  for (;;) {
    const head = /^HTTP\/1\.1 ([0-9]{3}) [^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(rest)
    if (head === null) return found
    const status = Number(head[1])
    const after = rest.slice(head[0].length)
    const body = isHead ? { text: '', taken: 0 } : bodyOf(head[0], status, after)
    if (body === undefined) return found
    found.push({ status, head: head[0], body: body.text })
    rest = after.slice(body.taken)
  }
}

const bodyOf = (
  head: string,
  status: number,
  after: string,
): { text: string; taken: number } | undefined => {
  const length = /^Content-Length: ([0-9]+)\r$/m.exec(head)?.[1]
  if (status < 200 || status === 204 || status === 304) return { text: '', taken: 0 }
  if (/^Transfer-Encoding: chunked\r$/m.test(head)) return chunksOf(after)
  const taken = length === undefined ? after.length : Number(length)
  return after.length < taken ? undefined : { text: after.slice(0, taken), taken }
}

const chunksOf = (after: string): { text: string; taken: number } | undefined => {
  let text = ''
  for (let at = 0; ; ) {
    const line = /^([0-9a-fA-F]+)\r\n/.exec(after.slice(at, at + 20))
    if (line === null) return undefined
    const size = Number.parseInt(line[1]!, 16)
    const from = at + line[0].length
    if (after.slice(from + size, from + size + 2) !== '\r\n') return undefined
    if (size === 0) return { text, taken: from + 2 }
    text += after.slice(from, from + size)
    at = from + size + 2
  }
}
