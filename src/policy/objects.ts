/** What a request leans on: objects of the engine that it names must have no more than it could ask for itself. */
import { Failure } from '../errors.ts'
import { judgeBody } from './body.ts'
import { CREATE } from './create.ts'
import type { Findings, Mention, Reference } from './hearing.ts'
import type { Policy } from './policy.ts'
import type { Body } from './table.ts'
import { VOLUME_CREATE } from './volumes.ts'

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

/** What engines say of an object, as far as it matters here. */
interface Inspected {
  readonly Driver?: string
  readonly Options?: Readonly<Record<string, string>> | null
  readonly HostConfig?: Readonly<Record<string, unknown>>
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

const judgeNetwork = (policy: Policy, mention: Mention, { Driver }: Inspected): void => {
  if (Driver === 'host')
    throw refusal(
      policy,
      mention,
      "it is the network of the engine's host, with all that listens there",
      'Leave out --network.',
    )
}

const judgeVolume = (policy: Policy, mention: Mention, { Driver, Options }: Inspected): void =>
  asIfAskedFor(policy, mention, VOLUME_CREATE, { Driver, DriverOpts: Options })

/** Namespaces that a container can hand on. */
const HANDED_ON = ['NetworkMode', 'PidMode', 'IpcMode']

const judgeContainer = (
  policy: Policy,
  mention: Mention,
  object: Inspected,
): readonly Mention[] => {
  const { HostConfig = {}, Mounts = [] } = object
  const HandedOn = Object.fromEntries(HANDED_ON.map((name) => [name, HostConfig[name]]))
  asIfAskedFor(policy, mention, CREATE, { Image: '-', HostConfig: HandedOn })
  const shared = Object.values(policy.sharedMounts)
  for (const { Type, Source = '', RW } of Mounts)
    if (Type === 'bind' && (RW !== false || !shared.includes(Source)))
      throw refusal(
        policy,
        mention,
        `that container has ${Source} of the engine's host mounted`,
        'Leave out --volumes-from.',
      )
  return Mounts.flatMap(({ Type, Name = '' }) =>
    Type === 'volume' ? [{ ...mention, kind: 'volume', name: Name } as const] : [],
  )
}

/** Judges a thing that is there by the rules for making it. */
const asIfAskedFor = (policy: Policy, mention: Mention, body: Body, wanted: object): void => {
  try {
    judgeBody(
      { ...policy, onViolation: 'deny' },
      body,
      new TextEncoder().encode(JSON.stringify(wanted)),
    )
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw refusal(policy, mention, `that ${mention.kind} has ${reasonOf(error)}`, '')
  }
}

/** What a refusal says behind its title. */
const reasonOf = ({ message }: Failure): string => message.slice(message.indexOf(': ') + 2)

const refusal = (policy: Policy, { path, name }: Mention, why: string, cure: string): Failure =>
  new Failure(
    'POLICY_DENIED',
    `${path} names ${JSON.stringify(name)} (policy '${policy.name}'): ${why}. ${cure}`.trimEnd(),
  )
