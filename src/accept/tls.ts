/** Turns accepted sockets into TLS ones; what fails its handshake is told nothing but that. */
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { PeerCertificate } from '../exchange.ts'
import type { Certificates } from './certificates.ts'

/** What a handshake has shown of the client. */
export interface Shown {
  readonly serverName: string | undefined
  readonly certificate: PeerCertificate | undefined
}

/** RFC 8446 5.1: the content type of a handshake record, which every client begins with. */
export const TLS_HANDSHAKE = 0x16

const HANDSHAKE_MS = 10_000

export class TlsTerminator {
  readonly #server: Server
  readonly #certificates: Certificates
  /** Raw sockets under handshake, and who waits for them. */
  readonly #waiting = new WeakMap<Socket, (socket: TLSSocket, shown: Shown) => void>()

  constructor(certificates: Certificates) {
    this.#certificates = certificates
    this.#server = createServer(
      {
        SNICallback: (name, done) => done(null, certificates.choose(name)),
        ...certificates.defaults,
        ALPNProtocols: ['h2', 'http/1.1'],
        handshakeTimeout: HANDSHAKE_MS,
        requestCert: true,
        // a certificate that nobody here has issued is answered as a wrong key is: with 401 and a sentence
        rejectUnauthorized: false,
      },
      (socket) => this.#secured(socket),
    )
    certificates.onDefault = () => this.#server.setSecureContext(certificates.defaults)
    this.#server.on('tlsClientError', (_, socket) => socket.destroy())
  }

  /** @param raw an ordinary socket whose first bytes, if any were read, have been put back */
  secure(raw: Socket, then: (socket: TLSSocket, shown: Shown) => void): void {
    this.#waiting.set(raw, then)
    this.#server.emit('connection', raw)
  }

  #secured(socket: TLSSocket): void {
    const raw = (socket as TLSSocket & { _parent: Socket })._parent
    const then = this.#waiting.get(raw)
    this.#waiting.delete(raw)
    socket.setNoDelay(true)
    // `servername` is false where the client sent none
    const serverName = (socket as unknown as { servername: string | false }).servername || undefined
    then?.(socket, { serverName, certificate: certificateOf(socket) })
  }

  close(): void {
    this.#certificates.close()
  }
}

const certificateOf = (socket: TLSSocket): PeerCertificate | undefined => {
  const peer = socket.getPeerX509Certificate()
  return peer === undefined ? undefined : { der: peer.raw, isTrusted: socket.authorized }
}
