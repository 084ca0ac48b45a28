/** The certificates of a listener: chosen by server name, read again when their files change. */
import { constants, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'

/** A certificate chain with its private key: files that are watched, or text that stays. */
export type CertificateSource =
  | {
      readonly kind: 'files'
      /** The key of the config that names them. */
      readonly name: string
      readonly certificate: string
      readonly key: string
    }
  | { readonly kind: 'text'; readonly certificate: string; readonly key: string }

interface Loaded {
  readonly source: CertificateSource
  readonly options: SecureContextOptions
  readonly context: SecureContext
  readonly names: readonly string[]
  readonly stamp: string
}

const POLL_MS = 2000
const DNS_NAME = /DNS:([^,\s]+)/g
const COMMON_NAME = /^CN=(.+)$/m

/** Another one where a file has changed, its owner or rights have (which ctime tells), or it has come or gone. */
const stampOf = (source: CertificateSource): string =>
  source.kind === 'text' ? '' : [source.certificate, source.key].map(stampOfFile).join(' ')

const stampOfFile = (path: string): string => {
  try {
    const { mtimeMs, ctimeMs, size, ino } = statSync(path)
    return `${mtimeMs} ${ctimeMs} ${size} ${ino}`
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  }
}

const namesOf = (pem: string): string[] => {
  const { subjectAltName, subject } = new X509Certificate(pem)
  const names = [...(subjectAltName ?? '').matchAll(DNS_NAME)].map((match) => match[1] as string)
  const commonName = COMMON_NAME.exec(subject)?.[1]
  return (names.length > 0 || commonName === undefined ? names : [commonName]).map((name) =>
    name.toLowerCase(),
  )
}

/** True where `name` is `pattern`, or one label below it (RFC 9525 6.3). */
const covers = (pattern: string, name: string): boolean =>
  pattern.startsWith('*.')
    ? name.slice(name.indexOf('.') + 1) === pattern.slice(2)
    : pattern === name

/** Files that cannot be used: the key that names them, which they are, and what the system or OpenSSL says. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError'

  constructor(source: CertificateSource, cause: Error) {
    const where =
      source.kind === 'files'
        ? `${source.name}: ${source.certificate}, ${source.key}`
        : 'the certificate of the listeners'
    super(`${where}: ${reasonOf(cause)}`, { cause })
  }
}

/** What OpenSSL calls it -> what that means to whoever wrote the files. */
const REASONS: Readonly<Record<string, string>> = {
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: 'the key is not the key of the certificate',
  ERR_OSSL_PEM_NO_START_LINE: 'there is no certificate, or no key, in PEM in it',
  ERR_OSSL_UNSUPPORTED: 'there is no private key in PEM in it',
}

const reasonOf = (error: NodeJS.ErrnoException): string =>
  REASONS[error.code ?? ''] ?? error.message

export class Certificates {
  #loaded: [Loaded, ...Loaded[]]
  /** Called when the certificate for clients without a server name has changed. */
  onDefault: (() => void) | undefined
  readonly #clientCas: readonly string[]
  readonly #onError: (error: Error) => void
  /** What was found of files that could not be used: told once, and not tried again until it changes. */
  readonly #refused = new Map<CertificateSource, string>()
  readonly #timer: NodeJS.Timeout

  /**
   * @param clientCas PEM of the authorities whose client certificates are looked at
   * @param onError hears of files that have changed into something unusable; what was loaded before stays in use
   * @throws CertificateError
   */
  constructor(
    sources: readonly [CertificateSource, ...CertificateSource[]],
    clientCas: readonly string[],
    onError: (error: Error) => void,
  ) {
    this.#clientCas = clientCas
    this.#onError = onError
    const [first, ...others] = sources
    this.#loaded = [this.#load(first), ...others.map((source) => this.#load(source))]
    this.#timer = setInterval(() => this.reload(), POLL_MS).unref()
  }

  /** The context for a server name; the first certificate for a name that none covers, or for no name. */
  choose(name: string | undefined): SecureContext {
    const wanted = name?.toLowerCase() ?? ''
    const exact = this.#loaded.find(({ names }) => names.includes(wanted))
    const found =
      exact ?? this.#loaded.find(({ names }) => names.some((pattern) => covers(pattern, wanted)))
    return (found ?? this.#loaded[0]).context
  }

  /** What a client without a server name is shown: the first certificate. */
  get defaults(): SecureContextOptions {
    return this.#loaded[0].options
  }

  /** Reads what has changed. Called every two seconds, and by whoever cannot wait. */
  reload(): void {
    const [first, ...others] = this.#loaded
    this.#loaded = [this.#renew(first), ...others.map((loaded) => this.#renew(loaded))]
    if (this.#loaded[0] !== first) this.onDefault?.()
  }

  #renew(loaded: Loaded): Loaded {
    const { source } = loaded
    const stamp = stampOf(source)
    if (stamp === this.#refused.get(source)) return loaded
    this.#refused.delete(source)
    if (stamp === loaded.stamp) return loaded
    try {
      return this.#load(source)
    } catch (error) {
      this.#refused.set(source, stamp)
      this.#onError(error as Error)
      return loaded
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #load(source: CertificateSource): Loaded {
    const read = (which: 'certificate' | 'key'): string =>
      source.kind === 'text' ? source[which] : readFileSync(source[which], 'utf8')
    try {
      const stamp = stampOf(source)
      const cert = read('certificate')
      const options: SecureContextOptions = {
        cert,
        key: read('key'),
        ca: [...this.#clientCas],
        minVersion: 'TLSv1.2',
        // A resumed session would carry the identity of the first: no docker client resumes one, and none may here
        secureOptions: constants.SSL_OP_NO_TICKET,
      }
      return { source, options, context: createSecureContext(options), names: namesOf(cert), stamp }
    } catch (error) {
      throw new CertificateError(source, error as Error)
    }
  }
}
