/** Ends connections of HTTP/2 to engines that have ended in all but name, with whatever waits on them. */
import type { ClientHttp2Session } from 'node:http2'
import { Failure } from '../errors.ts'

/** RFC 9113 7. */
const SETTINGS_TIMEOUT = 4
const BEAT_MS = 10_000
/** Beats that an answer may take: as long as TCP and engines under load ever need, and less than clients wait. */
const PATIENCE_BEATS = 2

/**
 * nghttp2 answers broken framing with a GOAWAY and takes no part in the connection from then on, which node tells
 * nobody: requests would wait on it for ever, those to come as well. So empty SETTINGS are sent now and then, which have
 * to be acknowledged at once (RFC 9113 6.5.3). No PING, as gRPC servers take more than one in five minutes for a flood.
 */
export const watchOver = (session: ClientHttp2Session): void => {
  // in beats, not by a clock: a process that was stopped has not heard what came meanwhile
  let waited = 0
  const beat = (): void => {
    if (session.destroyed) return
    if (waited === 0)
      session.settings({}, (error) => {
        if (error === null) waited = 0
      })
    if (waited++ < PATIENCE_BEATS) return
    session.destroy(new Failure('ENGINE_GONE', 'HTTP/2 framing, or silence'), SETTINGS_TIMEOUT)
  }
  const timer = setInterval(beat, BEAT_MS).unref()
  session.once('close', () => clearInterval(timer))
}
