/** What the system and OpenSSL call it -> what happened between berth and an engine, and what to do. */
import { X509Certificate } from 'node:crypto'
import { Failure } from '../errors.ts'

const FOREIGN =
  'its certificate was issued by none of the authorities trusted here; name the one that issued it as `ca` of the endpoint'
const UNSHOWN =
  'it wants a client certificate; give the endpoint a `certificate` and a `key` that it accepts'
const UNACCEPTED = 'it does not accept the client certificate that the endpoint shows'
const NOT_TLS = 'what listens there does not speak TLS; is it a tcp:// engine?'
const TOO_OLD = 'it speaks nothing newer than TLS 1.1'

const OF_THE_NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there; is the engine running?',
  ENOENT: 'there is no such socket; is the engine running?',
  EACCES: 'berth may not open it; is its user in the docker group?',
  ENOTFOUND: 'the name is not known',
}

const OF_TLS: Readonly<Record<string, string>> = {
  SELF_SIGNED_CERT_IN_CHAIN: FOREIGN,
  DEPTH_ZERO_SELF_SIGNED_CERT: FOREIGN,
  UNABLE_TO_GET_ISSUER_CERT: FOREIGN,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: FOREIGN,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: FOREIGN,
  CERT_SIGNATURE_FAILURE: FOREIGN,
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet; is a clock wrong?',
  // a server of TLS 1.3 says these after the handshake, in the place of an answer
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: UNSHOWN,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: UNSHOWN,
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: UNACCEPTED,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: UNACCEPTED,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: UNACCEPTED,
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: UNACCEPTED,
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: UNACCEPTED,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: UNACCEPTED,
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: TOO_OLD,
  ERR_SSL_UNSUPPORTED_PROTOCOL: TOO_OLD,
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: 'it speaks neither HTTP/2 nor HTTP/1.1',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NOT_TLS,
  ERR_SSL_WRONG_VERSION_NUMBER: NOT_TLS,
  EPROTO: NOT_TLS,
}

const codeOf = (error: Error | undefined): string =>
  (error as NodeJS.ErrnoException | undefined)?.code ?? ''

/** The names of a certificate that turned out to be for others. */
const namesIn = (error: Error): string => {
  const { cert } = error as { cert?: { raw?: Buffer } }
  return (cert?.raw && new X509Certificate(cert.raw).subjectAltName) ?? 'no name at all'
}

const tlsReason = (error: Error | undefined): string | undefined =>
  error !== undefined && codeOf(error) === 'ERR_TLS_CERT_ALTNAME_INVALID'
    ? `its certificate is for ${namesIn(error)}; say one of these in the address`
    : OF_TLS[codeOf(error)]

/** Why a connection could not be opened. */
export const reasonOf = (error: Error | undefined): string =>
  OF_THE_NETWORK[codeOf(error)] ?? tlsReason(error) ?? error?.message ?? 'closed at once'

/** What a connection has died of that was asked and has not answered. */
export const lossOf = (error: Error | undefined): Failure => {
  const refusal = tlsReason(error)
  return refusal === undefined
    ? new Failure('ENGINE_GONE', undefined, error)
    : new Failure('ENGINE_UNREACHABLE', refusal, error)
}
