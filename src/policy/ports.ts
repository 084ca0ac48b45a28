/** Ports that a container publishes. */
import { isList, isMap, type Json, text } from './json.ts'
import type { Judge } from './table.ts'
import { refuse, send } from './values.ts'

const PORT_RANGE = /^(\d{1,5})(?:-(\d{1,5}))?$/
const ADDRESS = /^[0-9A-Fa-f.:]{0,45}$/

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
