/** The PROXY protocol, version 2: a balancer says whose connection it passes on (haproxy.org, proxy-protocol.txt 2.2). */

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const HEADER_BYTES = 16
const VERSION_AND_LOCAL = 0x20
const VERSION_AND_PROXY = 0x21
/** Address family and transport: TCP over IPv4, TCP over IPv6. */
const TCP4 = 0x11
const TCP6 = 0x21
const IPV4_BYTES = 12
const IPV6_BYTES = 36

/** `more`: not all there yet; `bad`: not such a header; otherwise how long it is and, unless the balancer speaks for itself, from where. */
export type ProxyHeader =
  | { readonly kind: 'more' }
  | { readonly kind: 'bad' }
  | { readonly kind: 'read'; readonly length: number; readonly source: string | undefined }

const MORE: ProxyHeader = { kind: 'more' }
const BAD: ProxyHeader = { kind: 'bad' }

const ipv4 = (bytes: Buffer): string => bytes.subarray(HEADER_BYTES, HEADER_BYTES + 4).join('.')

const ipv6 = (bytes: Buffer): string =>
  Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(HEADER_BYTES + 2 * i).toString(16)).join(
    ':',
  )

/** @param bytes everything read so far of a connection from a listed balancer */
export const readProxyHeader = (bytes: Buffer): ProxyHeader => {
  const known = Math.min(bytes.length, SIGNATURE.length)
  if (bytes.compare(SIGNATURE, 0, known, 0, known) !== 0) return BAD
  if (bytes.length < HEADER_BYTES) return MORE
  const command = bytes[12]
  if (command !== VERSION_AND_LOCAL && command !== VERSION_AND_PROXY) return BAD
  const size = bytes.readUInt16BE(14)
  const length = HEADER_BYTES + size
  if (bytes.length < length) return MORE
  // LOCAL: the balancer's own health check
  if (command === VERSION_AND_LOCAL) return { kind: 'read', length, source: undefined }
  const family = bytes[13]
  if (family === TCP4 && size >= IPV4_BYTES) return { kind: 'read', length, source: ipv4(bytes) }
  if (family === TCP6 && size >= IPV6_BYTES) return { kind: 'read', length, source: ipv6(bytes) }
  return BAD
}
