/** Ports that a container publishes. */
import { Failure } from '../errors.ts'
import type { Reference } from './hearing.ts'
import { isList, isMap, type Json, text } from './json.ts'
import type { Policy } from './policy.ts'
import type { Judge } from './table.ts'
import { refuse, send } from './values.ts'

const PORT_RANGE = /^(\d{1,5})(?:-(\d{1,5}))?$/
const ADDRESS = /^[0-9A-Fa-f.:]{0,45}$/

/**
 * Of one container. Each is a process or two of the host (docker-proxy, for IPv4 and IPv6) and rules of its firewall,
 * in no plan's pids or memory.
 */
const MAX_PUBLISHED = 128

/** The ports that may be published; all of them where the policy says nothing. */
const portsOf = (ports: string | undefined): readonly [number, number] => {
  const [, low = '1', high = '65535'] = PORT_RANGE.exec(ports ?? '') ?? []
  return [Number(low), Number(high)]
}

/** The bindings of one container port: `[{HostIp, HostPort}]`. */
export const portBindings: Judge = (value, { policy }) => {
  for (const binding of isList(value) ? value : []) {
    const why = isMap(binding) ? badBinding(binding, policy.ports) : undefined
    if (why !== undefined)
      return refuse(why, `Publish a port${policy.ports ? ` of ${policy.ports}` : ''}.`)
  }
  return policy.ports !== undefined && (!isList(value) || value.length === 0)
    ? refuse(`a port that the engine picks could lie outside ${policy.ports}`)
    : send(value)
}

const badBinding = (
  binding: ReadonlyMap<string, Json>,
  ports: string | undefined,
): string | undefined => {
  if (!ADDRESS.test(text(binding.get('HostIp')))) return 'HostIp is no address'
  const port = text(binding.get('HostPort'))
  if (port === '' || Number(port) === 0)
    return ports === undefined ? undefined : `a port has to be named, of ${ports}`
  const [, first, last = first] = PORT_RANGE.exec(port) ?? []
  if (first === undefined) return 'HostPort is no port'
  const [low, high] = portsOf(ports)
  const inside = [first, last].every((one) => Number(one) >= low && Number(one) <= high)
  return inside ? undefined : `port ${port} is not among ${low}-${high}`
}

/** All bindings together: docker sends a range of ports as one binding each. */
export const fewPorts: Judge = (value) => {
  const lists = isMap(value) ? [...value.values()] : []
  const count = lists.reduce((sum, list) => sum + Math.max(1, isList(list) ? list.length : 0), 0)
  return count <= MAX_PUBLISHED
    ? send(value)
    : refuse(`it publishes ${count} ports, where ${MAX_PUBLISHED} are allowed`, 'Publish fewer.')
}

/** Whatever the image and the request expose: it is counted when the container is made, and both are known. */
const EXPOSED: Reference = { kind: 'exposed', name: '*' }

export const exposedBy = (value: Json): readonly Reference[] => (value === true ? [EXPOSED] : [])

/**
 * @param inspected the engine's own description of a container that publishes all it exposes
 * @throws Failure POLICY_DENIED
 */
export const judgeExposed = (policy: Policy, inspected: unknown): void => {
  const { Config } = inspected as { readonly Config?: { readonly ExposedPorts?: object | null } }
  const count = Object.keys(Config?.ExposedPorts ?? {}).length
  if (count > MAX_PUBLISHED)
    throw new Failure(
      'POLICY_DENIED',
      `HostConfig.PublishAllPorts = true (policy '${policy.name}'): image and options expose ${count} ports, where ${MAX_PUBLISHED} are allowed. Publish those that you need by -p, without -P.`,
    )
}
