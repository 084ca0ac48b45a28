/** Where an engine is, as people write it: `unix:///var/run/docker.sock`, `tcp://10.0.0.2:2375`. */

export type EngineAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

const TCP = /^tcp:\/\/(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):([0-9]{1,5})\/?$/

/** @throws Error that says what is wrong with it */
export const parseEngineAddress = (url: string): EngineAddress => {
  if (url.startsWith('unix:///')) return { kind: 'unix', path: url.slice('unix://'.length) }
  const match = TCP.exec(url)
  const port = Number(match?.[2])
  if (match === null || port === 0 || port > 65535)
    throw new Error(`${url}: expected unix:///PATH or tcp://HOST:PORT`)
  return { kind: 'tcp', host: (match[1] as string).replace(/^\[|\]$/g, ''), port }
}
