/** What stands before an engine: a TLS server that passes bytes on, remembers what was spoken, and can be cut. */
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { type EngineCertificates, engineCertificates } from './engine-certificates.ts'

export interface TlsFront {
  readonly url: string
  readonly certificates: EngineCertificates
  /** The connections that live, by the protocol that was chosen on them. */
  alive(protocol: 'h2' | 'http/1.1'): TLSSocket[]
  /** How many connections of a protocol there have been. */
  count(protocol: 'h2' | 'http/1.1'): number
}

/** @param port on loopback, of a berth: it knows HTTP/2 by its first bytes */
export const startTlsFront = async (
  t: { teardown(handler: () => unknown): void },
  port: number,
): Promise<TlsFront> => {
  const certificates = await engineCertificates(t)
  const { certificate: cert, key } = await certificates.server()
  const sockets: TLSSocket[] = []
  // small frames wait for nobody
  const plain = { allowHalfOpen: true, noDelay: true }
  const options = { ...plain, cert, key, ALPNProtocols: ['h2', 'http/1.1'] }
  const server = createServer(options, (socket) => {
    sockets.push(socket)
    const inner = connect({ ...plain, port, host: '127.0.0.1' })
    socket.on('error', () => inner.destroy()).once('close', () => inner.destroy())
    inner.on('error', () => socket.destroy())
    socket.pipe(inner).pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const of = (protocol: string): TLSSocket[] =>
    sockets.filter(({ alpnProtocol }) => alpnProtocol === protocol)
  return {
    url: `tls://127.0.0.1:${(server.address() as AddressInfo).port}`,
    certificates,
    alive: (protocol) => of(protocol).filter(({ destroyed }) => !destroyed),
    count: (protocol) => of(protocol).length,
  }
}
