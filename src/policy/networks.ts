/** The bodies of POST /networks/create, connect and disconnect. */
import ipaddr from 'ipaddr.js'
import { isMap, type Json, text } from './json.ts'
import { LABELS } from './labels.ts'
import { ENDPOINT } from './networking.ts'
import {
  BOOL,
  type Body,
  everywhere,
  harmless,
  type Judge,
  listOf,
  reachesHost,
  STRING,
  STRING_MAP,
  struct,
} from './table.ts'
import { keysIn, oneOf, refuse, send } from './values.ts'

const driver: Judge = (value, { policy }) =>
  policy.networkDrivers.includes(text(value))
    ? send(value)
    : refuse(
        'it reaches network cards of the host, or a plugin',
        `Use -d ${policy.networkDrivers.join(' or ')}.`,
      )

/** What of the bridge driver stays between the containers of one network. */
const BRIDGE_OPTIONS = new Set([
  'com.docker.network.driver.mtu',
  'com.docker.network.bridge.enable_icc',
  'com.docker.network.bridge.enable_ip_masquerade',
  'com.docker.network.enable_ipv4',
  'com.docker.network.enable_ipv6',
])

type Range = readonly [address: ipaddr.IPv4 | ipaddr.IPv6, bits: number]

/** Dotted decimals without leading zeros, which some readers take for octal. */
const IPV4_RANGE = /^(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})\/\d{1,2}$/
const IPV6_RANGE = /^[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{1,40}\/\d{1,3}$/

const rangeOf = (subnet: string): Range | undefined => {
  if (!IPV4_RANGE.test(subnet) && !IPV6_RANGE.test(subnet)) return undefined
  return ipaddr.isValidCIDR(subnet) ? ipaddr.parseCIDR(subnet) : undefined
}

/** Has either an address of the other? */
const overlap = ([a, aBits]: Range, [b, bBits]: Range): boolean => {
  const bits = Math.min(aBits, bBits)
  if (a instanceof ipaddr.IPv4 && b instanceof ipaddr.IPv4) return a.match(b, bits)
  return a instanceof ipaddr.IPv6 && b instanceof ipaddr.IPv6 && a.match(b, bits)
}

/** Is all of the first within the second? */
const isWithin = (inner: Range, outer: Range): boolean =>
  inner[1] >= outer[1] && overlap(inner, outer)

const rangesOf = (subnets: readonly string[]): readonly Range[] =>
  subnets.map(rangeOf).filter((range) => range !== undefined)

/** What else an element of IPAM.Config says, as ranges of the subnet: a lone address is one of its own. */
const partsOf = (config: ReadonlyMap<string, Json>): readonly string[] => {
  const others = config.get('AuxiliaryAddresses')
  const addresses = [config.get('Gateway'), ...(isMap(others) ? others.values() : [])]
  return [
    text(config.get('IPRange')),
    ...addresses.map((address) => asRange(text(address))),
  ].filter((part) => part !== '')
}

const asRange = (address: string): string => {
  if (address === '') return ''
  return `${address}/${address.includes(':') ? 128 : 32}`
}

/** One element of IPAM.Config. */
const pool: Judge = (value, { policy }) => {
  const config = isMap(value) ? value : new Map<string, Json>()
  const subnet = text(config.get('Subnet'))
  const parts = partsOf(config)
  if (subnet === '')
    return parts.length === 0 ? send(value) : refuse('it has no Subnet', 'Give --subnet as well.')
  const range = rangeOf(subnet)
  if (range === undefined) return refuse('its Subnet is no plain address/bits')
  const inUse = policy.subnetsInUse.find((one) =>
    rangesOf([one]).some((other) => overlap(range, other)),
  )
  if (inUse !== undefined)
    return refuse(
      `${subnet} covers ${inUse}, which is in use on the host`,
      'Leave out --subnet, or choose another.',
    )
  if (!rangesOf(policy.subnets).some((other) => isWithin(range, other)))
    return refuse(
      `the host itself could no longer reach what else is at ${subnet}`,
      `Leave out --subnet, or choose one within ${policy.subnets.join(', ')}.`,
    )
  const stray = parts.find((part) => !rangesOf([part]).some((one) => isWithin(one, range)))
  return stray === undefined
    ? send(value)
    : refuse(`${stray} is not within ${subnet}`, 'Leave out --gateway, --ip-range, --aux-address.')
}

const IPAM = struct({
  Driver: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: oneOf('default'),
    why: 'it runs a plugin on the host',
    cure: 'Leave out --ipam-driver.',
  },
  Options: {
    shape: STRING_MAP,
    verdicts: reachesHost('deny'),
    why: 'they are for a driver that is not offered',
    cure: 'Leave out --ipam-opt.',
  },
  Config: {
    shape: listOf(
      struct(
        harmless({
          Subnet: STRING,
          IPRange: STRING,
          Gateway: STRING,
          AuxiliaryAddresses: STRING_MAP,
        }),
      ),
    ),
    verdicts: reachesHost('confine'),
    each: pool,
    why: 'a network can stand before addresses that the host uses',
    cure: 'Leave out --subnet, or choose another.',
  },
})

export const NETWORK_CREATE: Body = {
  prefix: 'network',
  shape: struct({
    ...harmless({ Name: STRING, CheckDuplicate: BOOL, EnableIPv4: BOOL, EnableIPv6: BOOL }),
    Driver: {
      shape: STRING,
      verdicts: reachesHost('confine'),
      judge: driver,
      why: 'it reaches network cards of the host, or a plugin',
      cure: 'Leave out --driver.',
    },
    Scope: { shape: STRING, verdicts: reachesHost('drop'), why: 'there is no swarm here' },
    IPAM: { shape: IPAM, verdicts: everywhere('allow') },
    ...harmless({ Internal: BOOL, Attachable: BOOL }),
    Ingress: {
      shape: BOOL,
      verdicts: reachesHost('deny'),
      why: 'there is no swarm here',
      cure: 'Leave out --ingress.',
    },
    ConfigOnly: {
      shape: BOOL,
      verdicts: reachesHost('deny'),
      why: 'other networks would take its settings unseen',
      cure: 'Leave out --config-only.',
    },
    ConfigFrom: {
      shape: struct(harmless({ Network: STRING })),
      verdicts: reachesHost('deny'),
      why: 'it takes settings that berth has not seen',
      cure: 'Leave out --config-from.',
    },
    Options: {
      shape: STRING_MAP,
      verdicts: reachesHost('confine'),
      judge: keysIn((name) => BRIDGE_OPTIONS.has(name), 'the options of a network that may be set'),
      why: 'they name network cards, bridges and addresses of the host',
      cure: 'Leave out --opt (compose: driver_opts).',
    },
    Labels: LABELS,
  }),
}

const container = (value: Json) => [{ kind: 'container', name: text(value) }] as const

export const NETWORK_CONNECT: Body = {
  prefix: 'connect',
  shape: struct({
    Container: { shape: STRING, verdicts: everywhere('allow'), names: container },
    EndpointConfig: { shape: ENDPOINT, verdicts: everywhere('allow') },
  }),
}

export const NETWORK_DISCONNECT: Body = {
  prefix: 'disconnect',
  shape: struct({
    Container: { shape: STRING, verdicts: everywhere('allow'), names: container },
    ...harmless({ Force: BOOL }),
  }),
}
