/** Refuses a build where buildx shows it: the upgrade is accepted, and every gRPC call on it answered with a status. */
import { performServerHandshake, type ServerHttp2Session } from 'node:http2'
import { release } from '../transport/adopt.ts'
import type { Conduit } from '../transport/conduit.ts'

/** Long enough to ask and to read why not. */
const REFUSAL_MS = 30_000

/** gRPC over HTTP/2 spec, "Status-Message": percent-encoded UTF-8. */
const grpcMessage = (message: string): string => encodeURIComponent(message).replaceAll('%20', ' ')

/**
 * @param client just asked for `Upgrade: h2c` on /grpc; it is taken over
 * @param status gRPC status code: 7 permission denied, 14 unavailable, 16 unauthenticated
 */
export const refuseOverGrpc = (client: Conduit, status: number, message: string): void => {
  client.say('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
  const socket = release(client)
  const session: ServerHttp2Session = performServerHandshake(socket, {
    settings: { maxConcurrentStreams: 16 },
  })
  session.on('stream', (stream) => {
    stream.on('error', () => stream.destroy())
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': String(status),
        'grpc-message': grpcMessage(message),
      },
      { endStream: true },
    )
  })
  session.on('error', () => session.destroy())
  session.setTimeout(REFUSAL_MS, () => session.close())
}
