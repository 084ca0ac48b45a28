/** Where to listen, as people write it: `tcp://127.0.0.1:2375`, `tls://[::]:2376`, `unix:///run/berth.sock`. */

export type ListenAddress =
  | {
      readonly kind: 'tcp' | 'tls'
      readonly url: string
      readonly host: string
      readonly port: number
    }
  | { readonly kind: 'unix'; readonly url: string; readonly path: string }

const HOST_AND_PORT = /^(tcp|tls):\/\/(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):([0-9]{1,5})\/?$/
const BRACKETS = /^\[|\]$/g
/** `sun_path` holds 108 bytes with its final NUL. */
const MAX_SOCKET_PATH = 107

/** @throws Error that says what is wrong with it */
export const parseListenAddress = (url: string): ListenAddress => {
  if (url.startsWith('unix://')) {
    const path = url.slice('unix://'.length)
    if (!path.startsWith('/'))
      throw new Error(`${url}: a socket path must be absolute (unix:///run/berth.sock)`)
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
      throw new Error(`${url}: a socket path has at most ${MAX_SOCKET_PATH} bytes`)
    return { kind: 'unix', url, path }
  }
  const [, kind, host, digits] = HOST_AND_PORT.exec(url) ?? []
  const port = Number(digits)
  if (host === undefined || port > 65535)
    throw new Error(`${url}: expected tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH`)
  return { kind: kind === 'tls' ? 'tls' : 'tcp', url, host: host.replace(BRACKETS, ''), port }
}

const LOOPBACK_V4 = /^127(?:\.[0-9]{1,3}){3}$/

/** True for addresses that only this machine can reach. */
export const isLocalOnly = (address: ListenAddress): boolean =>
  address.kind === 'unix' ||
  address.host === 'localhost' ||
  address.host === '::1' ||
  LOOPBACK_V4.test(address.host)
