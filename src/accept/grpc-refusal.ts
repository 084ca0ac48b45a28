/** Refuses a gRPC call where its user reads it: an HTTP status would make buildx fall back, silently, to a privileged container. */
import type { ServerHttp2Stream } from 'node:http2'
import { isAnswerable } from '../transport/adopt.ts'

/** gRPC over HTTP/2 spec, "Status-Message": percent-encoded UTF-8. */
const grpcMessage = (message: string): string => encodeURIComponent(message).replaceAll('%20', ' ')

/** @param status gRPC status code: 7 permission denied, 8 exhausted, 14 unavailable, 16 unauthenticated */
export const refuseCall = (stream: ServerHttp2Stream, status: number, message: string): void => {
  if (!isAnswerable(stream)) return
  stream.respond(
    {
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-status': String(status),
      'grpc-message': grpcMessage(message),
    },
    { endStream: true },
  )
}
