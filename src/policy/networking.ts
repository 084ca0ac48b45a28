/** NetworkingConfig.EndpointsConfig: which networks a container joins, and as what. */
import type { Reference } from './hearing.ts'
import { isMap, type Json, text } from './json.ts'
import {
  everywhere,
  harmless,
  INT,
  type Judge,
  mapOf,
  reachesHost,
  reachesNeighbours,
  STRING,
  STRING_MAP,
  STRINGS,
  struct,
  type Table,
} from './table.ts'
import { keysIn, refuse, send } from './values.ts'

/** What the engine reports of an endpoint; clients send it back, empty, with every create. */
const REPORTED = harmless({
  EndpointID: STRING,
  Gateway: STRING,
  IPAddress: STRING,
  IPPrefixLen: INT,
  IPv6Gateway: STRING,
  GlobalIPv6Address: STRING,
  GlobalIPv6PrefixLen: INT,
  DNSNames: STRINGS,
})

const dropped = (table: Table): Table =>
  Object.fromEntries(
    Object.entries(table).map(([name, row]) => [
      name,
      { ...row, verdicts: reachesHost('drop'), why: 'the engine sets it' },
    ]),
  )

const ENDPOINT_OPTIONS = new Set(['com.docker.network.endpoint.ifname'])

/** One network's settings; also the body of a connect. */
export const ENDPOINT = struct({
  IPAMConfig: {
    shape: struct(harmless({ IPv4Address: STRING, IPv6Address: STRING, LinkLocalIPs: STRINGS })),
    verdicts: everywhere('allow'),
  },
  Links: {
    shape: STRINGS,
    verdicts: reachesNeighbours('deny'),
    why: 'it answers to names of other containers',
    cure: 'Leave out --link: containers of one network find each other by name.',
  },
  ...harmless({ Aliases: STRINGS, GwPriority: INT }),
  MacAddress: {
    shape: STRING,
    verdicts: reachesNeighbours('deny'),
    why: "it can pass for another container's",
    cure: 'Leave out --mac-address.',
  },
  DriverOpts: {
    shape: STRING_MAP,
    verdicts: reachesHost('confine'),
    judge: keysIn((name) => ENDPOINT_OPTIONS.has(name), 'the options of an endpoint'),
    why: 'they set sysctls and what else the driver knows',
    cure: 'Leave out driver-opt of --network.',
  },
  NetworkID: {
    shape: STRING,
    verdicts: reachesHost('drop'),
    why: 'it wins over the name of the network',
  },
  ...dropped(REPORTED),
} satisfies Table)

const endpoints: Judge = (value, { policy }) => {
  if (!policy.networking) return send(new Map())
  return isMap(value) && value.has('host')
    ? refuse("it is the network of the engine's host", 'Leave out --network host.')
    : send(value)
}

const networksIn = (value: Json): readonly Reference[] =>
  [...(isMap(value) ? value : [])].flatMap(([name, endpoint]) => {
    const id = isMap(endpoint) ? text(endpoint.get('NetworkID')) : ''
    return [name, id]
      .filter((one) => one !== '')
      .map((one) => ({ kind: 'network', name: one }) as const)
  })

export const NETWORKING = struct({
  EndpointsConfig: {
    shape: mapOf(ENDPOINT),
    verdicts: reachesHost('confine'),
    judge: endpoints,
    names: networksIn,
    why: 'it joins networks',
    cure: 'Leave out --network.',
  },
})
