/** Keeps browsers out: a page that a tenant visits must not be able to command his engine. */
import { Failure } from '../errors.ts'
import type { Connection } from '../exchange.ts'
import { fieldValue, type RequestHead } from '../wire/head.ts'

/** What docker clients of a unix socket send: its path. No web page has such a host. */
const SOCKET_PATH = /^%2F/i
const LOOPBACK = /^(?:localhost|(?:[a-z0-9_-]+\.)*localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])\.?$/i
const PORT = /:[0-9]*$/

/** Host without its port. */
const hostName = (host: string): string => host.replace(PORT, '')

/** What nearly every docker client says: no need to look at it closely. */
const LOCALHOST = 'localhost'

/** True for names that cannot be made to mean another machine's address: DNS rebinding needs a name of the attacker's. */
export const isLoopbackHost = (host: string): boolean =>
  host === LOCALHOST || host === '' || SOCKET_PATH.test(host) || LOOPBACK.test(hostName(host))

/**
 * No docker client sends Origin or Sec-Fetch-*; every page does where it matters (Fetch, POST across sites). An
 * anonymous TCP listener also answers to loopback names only, as DNS rebinding comes with a name of its own.
 * @param allowedHosts further names that an anonymous listener answers to, lower-case, without port
 * @throws Failure BROWSER or HOST_NOT_SERVED
 */
export const admit = (
  head: RequestHead,
  connection: Connection,
  allowedHosts: ReadonlySet<string>,
): void => {
  for (const field of head.fields)
    if (field.class === 'browser') throw new Failure('BROWSER', `it carries ${field.name}`)
  if (!connection.isAnonymous || connection.listener.startsWith('unix:')) return
  const host = fieldValue(head, 'host') ?? ''
  if (!isLoopbackHost(host) && !allowedHosts.has(hostName(host).toLowerCase()))
    throw new Failure(
      'HOST_NOT_SERVED',
      `${hostName(host)}. An anonymous listener answers to loopback names; add --allowed-hosts ${hostName(host)} to change that`,
    )
}
