/** gRPC's framing of messages: writes one, and reads the one of a unary call before anything of it goes on. */
import { Failure } from '../errors.ts'
import type { Call } from '../exchange.ts'

/** Compressed-Flag and Message-Length (gRPC over HTTP/2 spec, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5
/** A message as it goes on the wire, uncompressed. */
export const prefixed = (message: Uint8Array): Buffer => {
  const whole = Buffer.alloc(PREFIX_BYTES + message.length)
  whole.writeUInt32BE(message.length, 1)
  whole.set(message, PREFIX_BYTES)
  return whole
}

/** What engines take. */
const MAX_MESSAGE_BYTES = 16 << 20
const SECONDS = 30
const MS = 1000

/**
 * @param judge throws to refuse the message
 * @returns the message with its prefix; the stream has ended
 * @throws Failure BODY_TOO_LARGE, BODY_TIMEOUT, MALFORMED_BODY, or what `judge` throws
 */
export const readMessage = async (
  { stream }: Call,
  judge: (message: Buffer) => void,
): Promise<Buffer> => {
  const pieces: Buffer[] = []
  let size = 0
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Failure('BODY_TIMEOUT')), SECONDS * MS)
    stream
      .on('data', (bytes: Buffer) => {
        size += bytes.length
        if (size <= PREFIX_BYTES + MAX_MESSAGE_BYTES) pieces.push(bytes)
        else reject(new Failure('BODY_TOO_LARGE', `at most ${MAX_MESSAGE_BYTES} bytes here`))
      })
      .once('end', resolve)
      .once('close', () => {
        clearTimeout(timer)
        reject(new Failure('MALFORMED_BODY', 'the client has gone'))
      })
    stream.once('end', () => clearTimeout(timer))
  })
  stream.removeAllListeners('data')
  const whole = Buffer.concat(pieces, size)
  if (size < PREFIX_BYTES || whole.readUInt32BE(1) !== size - PREFIX_BYTES)
    throw new Failure('MALFORMED_BODY', 'it is not one gRPC message')
  if (whole[0] !== 0) throw new Failure('MALFORMED_BODY', 'compressed build requests are not read')
  judge(whole.subarray(PREFIX_BYTES))
  return whole
}
