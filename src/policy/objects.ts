/** What a request leans on: objects of the engine that it names must have no more than it could ask for itself. */
import { Failure } from '../errors.ts'
import { judgeBody } from './body.ts'
import { CREATE } from './create.ts'
import type { Findings, Mention, Reference } from './hearing.ts'
import { NETWORK_CREATE } from './networks.ts'
import type { Policy } from './policy.ts'
import type { Body } from './table.ts'
import { matches } from './values.ts'
import { NEVER_PRUNED, VOLUME_CREATE } from './volumes.ts'

/** Networks that every engine has, and that lead nowhere else. */
const KNOWN_NETWORKS = new Set(['default', 'bridge', 'none'])
const LOOKED_UP = new Set<Reference['kind']>(['container', 'network', 'volume'])

/** The references that have to be looked up at the engine before the request may go. */
export const leansOn = ({ references }: Pick<Findings, 'references'>): readonly Mention[] =>
  references.filter(
    ({ kind, name, verdict }) =>
      LOOKED_UP.has(kind) &&
      verdict === 'confine' &&
      !(kind === 'network' && KNOWN_NETWORKS.has(name)),
  )

/**
 * Objects that one request may lean on, by name or through others: each is a question to the engine. People's containers
 * lean on a handful; without an end, one that names containers of hundreds of volumes each would be tens of thousands.
 */
const MOST_OBJECTS = 256

/**
 * Adds what is mentioned to the objects to look up, each of them once.
 * @throws Failure POLICY_DENIED where there is no room for all
 */
export const addObjects = (
  policy: Policy,
  objects: Map<string, Mention>,
  mentions: readonly Mention[],
): void => {
  for (const mention of mentions) {
    const key = `${mention.kind} ${mention.name}`
    if (objects.has(key)) continue
    if (objects.size === MOST_OBJECTS)
      throw new Failure(
        'POLICY_DENIED',
        `${mention.path} (policy '${policy.name}'): with what these use in turn, the request names more than ${MOST_OBJECTS} containers, networks and volumes, and each has to be looked at. Name fewer.`,
      )
    objects.set(key, mention)
  }
}

/** The rule by which a create joins networks. */
const JOINING = 'NetworkingConfig.EndpointsConfig'

/** The network that the path of a connect names: it is joined no less than one that a body names. */
export const joinedBy = (
  policy: Policy,
  route: { readonly id: string },
  params: readonly string[],
): readonly Mention[] => {
  const path = 'connect.network'
  const verdict = policy.rows.get(JOINING) ?? (policy.profile === 'open' ? 'allow' : 'confine')
  return route.id === 'network.connect'
    ? params.map((name) => ({ kind: 'network', name, path, verdict }))
    : []
}

/** What engines say of an object, as far as it matters here. */
interface Inspected {
  readonly Name?: string
  readonly Driver?: string
  readonly Options?: Readonly<Record<string, string>> | null
  readonly HostConfig?: Readonly<Record<string, unknown>>
  readonly NetworkSettings?: { readonly Networks?: Readonly<Record<string, unknown>> | null }
  readonly Mounts?: readonly {
    readonly Type: string
    readonly Name?: string
    readonly Source?: string
    readonly RW?: boolean
  }[]
}

/**
 * @param inspected the engine's own description of the object that the mention names
 * @returns what it leans on in turn
 * @throws Failure POLICY_DENIED
 */
export const judgeObject = (
  policy: Policy,
  mention: Mention,
  inspected: unknown,
): readonly Mention[] => {
  const object = inspected as Inspected
  if (mention.kind === 'network') judgeNetwork(policy, mention, object)
  if (mention.kind === 'volume') judgeVolume(policy, mention, object)
  return mention.kind === 'container' ? judgeContainer(policy, mention, object) : []
}

/** Options that `default-network-opts` of an engine may have put on everybody's networks: they lead nowhere else. */
const DEFAULTABLE = new Set([
  'com.docker.network.bridge.gateway_mode_ipv4',
  'com.docker.network.bridge.gateway_mode_ipv6',
  'com.docker.network.bridge.host_binding_ipv4',
  'com.docker.network.container_iface_prefix',
])

const judgeNetwork = (policy: Policy, mention: Mention, object: Inspected): void => {
  const { Name = '', Driver, Options } = object
  if (Driver === 'host')
    throw refusal(
      policy,
      mention,
      "it is the network of the engine's host, with all that listens there",
      'Leave out --network.',
    )
  // an engine lets nobody make one of these names
  if (KNOWN_NETWORKS.has(Name)) return
  if (policy.sharedNetworks.some((pattern) => matches(pattern, Name))) return
  const leading = Object.entries(Options ?? {}).filter(([option]) => !DEFAULTABLE.has(option))
  const wanted = { Name, Driver, Options: Object.fromEntries(leading) }
  asIfAskedFor(policy, mention, NETWORK_CREATE, wanted, 'Join a network of your own.')
}

const judgeVolume = (policy: Policy, mention: Mention, { Driver, Options }: Inspected): void => {
  const own: Readonly<Record<string, string>> = NEVER_PRUNED
  const asked = Object.entries(Options ?? {}).filter(([option, value]) => own[option] !== value)
  const wanted = { Driver, DriverOpts: Object.fromEntries(asked) }
  asIfAskedFor(policy, mention, VOLUME_CREATE, wanted)
}

/** Namespaces that a container can hand on. */
const HANDED_ON = ['NetworkMode', 'PidMode', 'IpcMode']

const judgeContainer = (
  policy: Policy,
  mention: Mention,
  object: Inspected,
): readonly Mention[] => {
  const { HostConfig = {}, NetworkSettings = {}, Mounts = [] } = object
  const HandedOn = Object.fromEntries(HANDED_ON.map((name) => [name, HostConfig[name]]))
  const joined = Object.keys(NetworkSettings.Networks ?? {}).map((name) => [name, {}])
  const inTurn = asIfAskedFor(policy, mention, CREATE, {
    Image: '-',
    HostConfig: HandedOn,
    NetworkingConfig: { EndpointsConfig: Object.fromEntries(joined) },
  })
  const shared = Object.values(policy.sharedMounts)
  for (const { Type, Source = '', RW } of Mounts)
    if (Type === 'bind' && (RW !== false || !shared.includes(Source)))
      throw refusal(
        policy,
        mention,
        `that container has ${Source} of the engine's host mounted`,
        'Leave out --volumes-from.',
      )
  const volumes = Mounts.flatMap(({ Type, Name = '' }) =>
    Type === 'volume' ? [{ kind: 'volume', name: Name } as const] : [],
  )
  return [...inTurn, ...volumes].map(({ kind, name }) => ({ ...mention, kind, name }))
}

/**
 * Judges a thing that is there by the rules for making it.
 * @returns what it leans on in turn
 */
const asIfAskedFor = (
  policy: Policy,
  mention: Mention,
  body: Body,
  wanted: object,
  cure = '',
): readonly Mention[] => {
  try {
    return leansOn(
      judgeBody(
        { ...policy, onViolation: 'deny' },
        body,
        new TextEncoder().encode(JSON.stringify(wanted)),
      ),
    )
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw refusal(policy, mention, `that ${mention.kind} has ${reasonOf(error)}`, cure)
  }
}

const LAST_DOT = /\.$/
/** What a refusal says behind its title. */
const reasonOf = ({ message }: Failure): string =>
  message.slice(message.indexOf(': ') + 2).replace(LAST_DOT, '')

const refusal = (policy: Policy, { path, name }: Mention, why: string, cure: string): Failure =>
  new Failure(
    'POLICY_DENIED',
    `${path} names ${JSON.stringify(name)} (policy '${policy.name}'): ${why}. ${cure}`.trimEnd(),
  )
