/** Opens one TLS connection, or says why not. */
import { isIP } from 'node:net'
import { connect } from 'node:tls'
import { Failure } from '../errors.ts'
import { adoptPlain } from '../transport/adopt.ts'
import type { Conduit } from '../transport/conduit.ts'
import { DIAL_TIMEOUT_MS } from './dial.ts'

/** Where to, whom to trust there, and what to show. Texts are PEM. */
export interface TlsAddress {
  /** A name, which is sent as SNI, or an address; the certificate shown has to be for it. */
  readonly host: string
  readonly port: number
  /** The authorities to trust instead of the system's. */
  readonly ca?: string | undefined
  readonly certificate?: string | undefined
  readonly key?: string | undefined
}

/** @throws Failure ENGINE_UNREACHABLE, whose cause is what node:tls said, or ENGINE_TIMEOUT */
export const dialTls = (address: TlsAddress, timeoutMs = DIAL_TIMEOUT_MS): Promise<Conduit> =>
  new Promise((resolve, reject) => {
    const { host, port, ca, certificate: cert, key } = address
    const where = `tls://${host}:${port}`
    const socket = connect({
      host,
      port,
      minVersion: 'TLSv1.2',
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    })
    const timer = setTimeout(() => {
      socket.destroy()
      reject(
        new Failure('ENGINE_TIMEOUT', `no connection to ${where} within ${timeoutMs / 1000} s`),
      )
    }, timeoutMs)
    socket.once('error', (error) => {
      clearTimeout(timer)
      reject(new Failure('ENGINE_UNREACHABLE', `${where}: ${error.message}`, error))
    })
    socket.once('secureConnect', () => {
      clearTimeout(timer)
      socket.setNoDelay(true)
      socket.removeAllListeners('error')
      resolve(adoptPlain(socket))
    })
  })
