/** Asks a berth for `/_ping` as a tenant's docker would, and says in the operator's words what is wrong. */
import { X509Certificate } from 'node:crypto'
import { Failure } from '../errors.ts'
import type { Conduit } from '../transport/conduit.ts'
import { dial } from '../upstream/dial.ts'
import { dialTls } from '../upstream/dial-tls.ts'

export interface PingTarget {
  readonly kind: 'tcp' | 'tls'
  readonly host: string
  readonly port: number
  readonly headers: Readonly<Record<string, string>>
  /** PEM; the system's authorities where there is none. */
  readonly ca?: string | undefined
  readonly certificate?: string | undefined
  readonly key?: string | undefined
  /** How the address may be written down: keys in host names are not repeated. */
  readonly shownAs: string
}

const PATIENCE_MS = 10_000
const MOST_BYTES = 65_536
const STATUS = /^HTTP\/1\.[01] ([0-9]{3})/

const codeOf = (error: unknown): string => {
  const cause = error instanceof Failure ? error.cause : error
  return (cause as NodeJS.ErrnoException | undefined)?.code ?? ''
}

const NAME_UNKNOWN =
  'this name is not known here; make a DNS record for it (for keys in host names, *.DOMAIN) or a line in /etc/hosts that says where berth is'
const FOREIGN =
  'what is shown there was not issued by the authority in ca.pem; name the one that issued it with --ca FILE, or run this with the --state of the berth that listens there'

/** What Node calls it -> what happened and what to do. */
const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: NAME_UNKNOWN,
  EAI_AGAIN: 'no name server answers; is the network up?',
  ECONNREFUSED: 'nothing listens there; is berth running, with this address among its --listen?',
  EHOSTUNREACH: 'there is no way to that address from here',
  ENETUNREACH: 'there is no way to that network from here',
  ECONNRESET: 'the connection was cut; does something else than berth listen there, or a firewall?',
  EPROTO: 'what listens there does not speak TLS; is it a tcp:// listener?',
  ERR_SSL_WRONG_VERSION_NUMBER: 'what listens there does not speak TLS; is it a tcp:// listener?',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'what listens there does not speak TLS; is it a tcp:// listener?',
  SELF_SIGNED_CERT_IN_CHAIN: FOREIGN,
  DEPTH_ZERO_SELF_SIGNED_CERT: FOREIGN,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: FOREIGN,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: FOREIGN,
  CERT_SIGNATURE_FAILURE: FOREIGN,
  CERT_HAS_EXPIRED:
    'the certificate shown there has expired; give berth a new one (it need not be restarted)',
  CERT_NOT_YET_VALID: 'the certificate shown there is not valid yet; is a clock wrong?',
}

/** The names of a certificate that turned out to be for others. */
const namesIn = (error: unknown): string => {
  const { cert } = ((error as Failure).cause ?? {}) as { cert?: { raw?: Buffer } }
  if (cert?.raw === undefined) return 'other names'
  return new X509Certificate(cert.raw).subjectAltName ?? 'no name at all'
}

const reasonOf = (error: unknown): string => {
  const code = codeOf(error)
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `the certificate shown there is for ${namesIn(error)}; add the name to --domain of that berth, or use one of those`
  if (error instanceof Failure && error.code === 'ENGINE_TIMEOUT')
    return 'nothing answers there; is a firewall in between?'
  return REASONS[code] ?? (error as Error).message
}

const requestOf = ({ host, port, headers }: PingTarget): string =>
  [
    'GET /_ping HTTP/1.1',
    `Host: ${host.includes(':') ? `[${host}]` : host}:${port}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    'User-Agent: berth-context',
    'Connection: close',
    '\r\n',
  ].join('\r\n')

/** Everything that comes until the other side ends, up to a limit. */
const exchangeOver = (conduit: Conduit, request: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      conduit.destroy()
      reject(new Failure('ENGINE_TIMEOUT'))
    }, PATIENCE_MS)
    let text = ''
    const finish = (): void => {
      clearTimeout(timer)
      conduit.destroy()
      resolve(text)
    }
    conduit.receiver = {
      received(bytes) {
        text += bytes.toString('utf8')
        if (text.length > MOST_BYTES) finish()
      },
      ended: finish,
      gone(_, error) {
        clearTimeout(timer)
        if (error === undefined || text !== '') resolve(text)
        else reject(error)
      },
    }
    conduit.say(request)
    conduit.flow()
  })

const messageIn = (answer: string): string | undefined => {
  try {
    return (JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as { message?: string })
      .message
  } catch {
    return undefined
  }
}

/** @returns what is wrong, in one sentence; undefined when everything is as it should be */
export const ping = async (target: PingTarget): Promise<string | undefined> => {
  const wrong = (why: string): string => `${target.shownAs}: ${why}`
  let answer: string
  try {
    const conduit =
      target.kind === 'tls'
        ? await dialTls(target, PATIENCE_MS)
        : await dial({ kind: 'tcp', host: target.host, port: target.port }, PATIENCE_MS)
    answer = await exchangeOver(conduit, requestOf(target))
  } catch (error) {
    return wrong(reasonOf(error))
  }
  const status = STATUS.exec(answer)?.[1]
  if (status === '200') return undefined
  if (status === undefined)
    return wrong('what answers there does not speak HTTP; is it a tls:// listener?')
  return wrong(messageIn(answer) ?? `answered ${status}; is it a berth?`)
}
