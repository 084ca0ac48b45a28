/** One gRPC call, from a client's stream to an engine's: messages, trailers, resets and windows, both ways at once. */
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
  ServerHttp2Stream,
} from 'node:http2'
import { Failure } from '../errors.ts'
import type { Call, Exchange } from '../exchange.ts'
import { readMessage } from './grpc-message.ts'

/** RFC 9113 7. */
const NO_ERROR = 0
const END_STREAM = 1

/** gRPC metadata that goes along, beside what is said anew. */
const METADATA: ReadonlySet<string> = new Set([
  'baggage',
  'buildkit-controlapi-buildid',
  'grpc-accept-encoding',
  'grpc-encoding',
  'grpc-timeout',
  'traceparent',
  'tracestate',
  'user-agent',
  'x-docker-expose-session-grpc-method',
  'x-docker-expose-session-name',
  'x-docker-expose-session-sharedkey',
  'x-docker-expose-session-uuid',
])

/** The field list of the call as it goes to the engine. */
const fieldsOf = ({ method, fields }: Call): OutgoingHttpHeaders => {
  const sent: Record<string, string | string[]> = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': method,
    ':authority': 'localhost',
    'content-type': 'application/grpc',
    te: 'trailers',
  }
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? ''
    if (!METADATA.has(name)) continue
    const before = sent[name]
    const value = fields[i + 1] ?? ''
    sent[name] = before === undefined ? value : [before, value].flat()
  }
  return sent
}

/** The value of a metadata field that occurs once, or undefined. */
export const metadata = ({ fields }: Call, name: string): string | undefined => {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === name) return fields[i + 1]
  return undefined
}

/**
 * Resolves when the call is over, for either side.
 * @param session opens the way to the engine; called when the call is known to be allowed
 * @param judge reads the one message of a unary call before any of it is sent, and throws to refuse it
 * @throws Failure while the client has heard nothing; after that the stream says itself how it ended
 */
export const relayCall = async (
  exchange: Exchange,
  call: Call,
  session: () => Promise<ClientHttp2Session>,
  judge: ((message: Buffer) => void) | undefined,
): Promise<void> => {
  if (exchange.isGone) return
  const first = judge === undefined ? undefined : await readMessage(call, judge)
  const channel = await session()
  if (exchange.isGone) return
  const cancel = new AbortController()
  const up = channel.request(fieldsOf(call), { signal: cancel.signal })
  if (first !== undefined) up.write(first)
  await join(call.stream, up, () => channel.destroyed, cancel)
}

const join = (
  down: ServerHttp2Stream,
  up: ClientHttp2Stream,
  isBroken: () => boolean,
  cancel: AbortController,
): Promise<void> =>
  new Promise((resolve, reject) => {
    let trailers: IncomingHttpHeaders = {}
    // how a stream broke is told by its code, at its end
    up.on('error', () => {})
    up.on('response', (headers, flags) => {
      if (down.destroyed) return
      if ((flags & END_STREAM) !== 0) return down.respond(headers, { endStream: true })
      down.respond(headers, { waitForTrailers: true })
      up.pipe(down)
    })
    up.on('trailers', (fields) => {
      trailers = fields
    })
    down.on('wantTrailers', () => {
      if (!down.closed) down.sendTrailers(trailers)
    })
    up.on('close', () => {
      if (up.rstCode !== NO_ERROR && !isBroken()) {
        if (!down.closed) down.close(up.rstCode)
        return resolve()
      }
      if (up.readableEnded && down.headersSent) return finish(down, resolve)
      reject(new Failure('ENGINE_GONE'))
    })
    down.on('close', () => {
      // not by `close`, which would end the request first, as if the client had
      if (!up.closed) cancel.abort()
      resolve()
    })
    down.pipe(up)
  })

/** The engine has said all: a client that has not is not listened to any more (RFC 9113 8.1). */
const finish = (down: ServerHttp2Stream, done: () => void): void => {
  if (down.closed || down.readableEnded) return done()
  const close = (): void => {
    if (!down.closed) down.close(NO_ERROR)
    done()
  }
  if (down.writableFinished) close()
  else down.once('finish', close)
}
