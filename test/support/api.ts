/** The Docker API over kept connections, for tests that ask much and say every byte themselves. */
import { Agent, type IncomingMessage, request } from 'node:http'
import { buffer } from 'node:stream/consumers'

export interface Answer {
  readonly status: number
  readonly body: Buffer
}

export interface Api {
  /** Any answer is one. A string is sent as UTF-8; anything else than bytes and strings as JSON. */
  call(method: string, path: string, body?: unknown): Promise<Answer>
  /** The JSON of a 2xx; anything else is an error that shows it. */
  json<T>(method: string, path: string, body?: unknown): Promise<T>
  close(): void
}

const VERSION = '/v1.41'

/** @param url `unix:///PATH` or `tcp://HOST:PORT`; paths without a version ask for 1.41, which all engines speak */
export const createApi = (url: string): Api => {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const { hostname, port } = new URL(url.replace('tcp:', 'http:'))
  const where = url.startsWith('unix://')
    ? { socketPath: url.slice('unix://'.length) }
    : { host: hostname, port }
  const call = async (method: string, path: string, body?: unknown): Promise<Answer> => {
    const bytes = bytesOf(body)
    const headers = bytes && { 'content-type': typeOf(body), 'content-length': bytes.length }
    const whole = path.startsWith('/v') && /^\/v1\.\d\d\//.test(path) ? path : VERSION + path
    const send = (): Promise<IncomingMessage> =>
      new Promise((resolve, reject) => {
        const asked = request({ ...where, agent, method, path: whole, ...(headers && { headers }) })
        // a kept connection that was closed while the request was on its way
        const failed = (error: NodeJS.ErrnoException): void =>
          asked.reusedSocket && error.code === 'ECONNRESET' ? resolve(send()) : reject(error)
        asked.on('response', resolve).on('error', failed).end(bytes)
      })
    const response = await send()
    return { status: response.statusCode!, body: await buffer(response) }
  }
  return {
    call,
    json: async (method, path, body) => {
      const answer = await call(method, path, body)
      if (answer.status >= 300)
        throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`)
      return answer.body.length === 0 ? undefined : JSON.parse(answer.body.toString())
    },
    close: () => agent.destroy(),
  }
}

const bytesOf = (body: unknown): Buffer | undefined => {
  if (body === undefined || Buffer.isBuffer(body)) return body
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

const typeOf = (body: unknown): string =>
  Buffer.isBuffer(body) && body[0] !== 0x7b ? 'application/x-tar' : 'application/json'
