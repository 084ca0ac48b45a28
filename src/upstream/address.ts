/** Where an engine is, as people write it: `unix:///var/run/docker.sock`, `tcp://10.0.0.2:2375`, `tls://engine.example.com:2376`. */
import ipaddr from 'ipaddr.js'

/** Somebody behind TLS: where, whom to trust there, and what to show. Texts are PEM. */
export interface TlsPeer {
  /** A name, which is sent as SNI, or an address; the certificate shown has to be for it. */
  readonly host: string
  readonly port: number
  /** The authorities to trust instead of the system's. */
  readonly ca?: string | undefined
  readonly certificate?: string | undefined
  readonly key?: string | undefined
  /** What is spoken there, where it is nothing but that: a buildkitd speaks HTTP/2 only. */
  readonly speaks?: 'h2'
}

export type EngineAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | ({ readonly kind: 'tls' } & TlsPeer)

const HOST_AND_PORT = /^(tcp|tls):\/\/(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):([0-9]{1,5})\/?$/

/** @throws Error that says what is wrong with it */
export const parseEngineAddress = (url: string): EngineAddress => {
  if (url.startsWith('unix:///')) return { kind: 'unix', path: url.slice('unix://'.length) }
  const match = HOST_AND_PORT.exec(url)
  const port = Number(match?.[3])
  if (match === null || port === 0 || port > 65535)
    throw new Error(`${url}: expected unix:///PATH, tcp://HOST:PORT or tls://HOST:PORT`)
  const kind = match[1] as 'tcp' | 'tls'
  return { kind, host: (match[2] as string).replace(/^\[|\]$/g, ''), port }
}

/** RFC 3986 3.2: `10.0.0.2:2375`, `[::1]:2375`. */
export const authorityOf = ({ host, port }: { host: string; port: number }): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`

/** As `parseEngineAddress` reads it; certificates and keys are not told. */
export const printEngineAddress = (address: EngineAddress): string =>
  address.kind === 'unix' ? `unix://${address.path}` : `${address.kind}://${authorityOf(address)}`

const SLASHES = /\/(?:\.?\/)+/g

/** One text for every spelling of an engine's address, and whoever dials it: what is counted per engine is kept under it. */
export const engineIdentity = (address: EngineAddress): string => {
  if (address.kind === 'unix') return address.path.replace(SLASHES, '/')
  const { host, port } = address
  return authorityOf({
    host: ipaddr.isValid(host) ? ipaddr.process(host).toString() : host.toLowerCase(),
    port,
  })
}
