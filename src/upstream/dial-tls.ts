/** Opens one TLS connection, or says why not. */
import { isIP } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { Failure } from '../errors.ts'
import { adoptPlain } from '../transport/adopt.ts'
import { type Conduit, KEEP_ALIVE_DELAY_MS } from '../transport/conduit.ts'
import { printEngineAddress, type TlsPeer } from './address.ts'
import { reasonOf } from './reasons.ts'

/** RFC 7301, best first. */
export type Protocols = readonly ('h2' | 'http/1.1')[]

/**
 * @param protocols what to offer; `alpnProtocol` of the socket says which was chosen
 * @returns a socket whose peer has shown a certificate for its name; paused
 * @throws Failure ENGINE_UNREACHABLE, whose cause is what node:tls said, or ENGINE_TIMEOUT
 */
export const connectTls = (
  peer: TlsPeer,
  protocols: Protocols,
  timeoutMs: number,
): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const { host, port, ca, certificate: cert, key } = peer
    const where = printEngineAddress({ kind: 'tls', host, port })
    const options = {
      host,
      port,
      // not in the types of Node 20, but in its documentation
      allowHalfOpen: true,
      minVersion: 'TLSv1.2',
      ALPNProtocols: [...protocols],
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    } satisfies ConnectionOptions & { allowHalfOpen: boolean }
    const socket = connect(options)
    const timer = setTimeout(() => {
      socket.destroy()
      reject(
        new Failure('ENGINE_TIMEOUT', `no connection to ${where} within ${timeoutMs / 1000} s`),
      )
    }, timeoutMs)
    const fail = (error: Error): void => {
      clearTimeout(timer)
      reject(new Failure('ENGINE_UNREACHABLE', `${where}: ${reasonOf(error)}`, error))
    }
    socket.once('error', fail)
    socket.once('secureConnect', () => {
      clearTimeout(timer)
      socket.off('error', fail)
      socket.setNoDelay(true)
      socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS)
      resolve(socket)
    })
  })

/** @throws Failure as `connectTls` */
export const dialTls = async (peer: TlsPeer, timeoutMs: number): Promise<Conduit> =>
  adoptPlain(await connectTls(peer, [peer.speaks ?? 'http/1.1'], timeoutMs))
