/** First bytes -> what the client speaks: a closed set, decided from as few bytes as possible. */

/** `more`: nothing can be said yet; the timeout of a head runs meanwhile. */
export type Spoken = 'h1' | 'h2' | 'neither' | 'more'

/** RFC 9113 3.4: the client connection preface. */
export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

const UPPER_A = 0x41
const UPPER_Z = 0x5a

const isUpper = (byte: number | undefined): boolean =>
  byte !== undefined && byte >= UPPER_A && byte <= UPPER_Z

/**
 * HTTP/1.1 begins with a method, and all methods served here are upper-case letters. `PRI` is the one that cannot be:
 * Go's HTTP/1 parser takes it for a request (server.go), so that half a preface is refused as neither.
 * @param seen the text read so far on this connection, from its first byte
 */
export const sniff = (seen: string): Spoken => {
  if (seen === '') return 'more'
  if (!isUpper(seen.charCodeAt(0))) return 'neither'
  if (!seen.startsWith('PR')) return seen === 'P' ? 'more' : 'h1'
  const length = Math.min(seen.length, PREFACE.length)
  if (seen.slice(0, length) !== PREFACE.slice(0, length)) return 'neither'
  return length === PREFACE.length ? 'h2' : 'more'
}
