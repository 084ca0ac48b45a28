/** The query of POST /build: for the classic builder it is a HostConfig, and BuildKit reads the rest. */
import { Failure } from '../errors.ts'
import type { Hearing } from './hearing.ts'
import { isList, type Json, num, text } from './json.ts'
import { isOwnLabel } from './labels.ts'
import { atMost, limited, ulimit } from './limits.ts'
import {
  everywhere,
  type Force,
  type Judge,
  reachesHost,
  reachesNeighbours,
  STRING,
  STRINGS,
  type Table,
} from './table.ts'
import { networkIn, networkMode, oneOf, refuse, send } from './values.ts'

const toNumber = (value: Json | undefined): Json => num(BigInt(text(value) || '0'))
const toText = (value: Json | undefined): Json | undefined =>
  typeof value === 'object' && value !== null && 'text' in value ? value.text : value

const BUILDKIT = '2'

/** A force of the classic builder's; BuildKit takes no limits from the query. */
const classic =
  (force: (sent: Json | undefined, hearing: Hearing) => Json | undefined): Force =>
  (sent, hearing, sibling) =>
    sibling('version') === BUILDKIT ? sent : force(sent, hearing)

const memory = classic((sent, { policy }) =>
  policy.terms.memory === undefined ? sent : toText(limited(toNumber(sent), policy.terms.memory)),
)

const PERIOD = 100_000n
const BILLION = 1_000_000_000n

/** The plan's processors as a quota, whatever was asked for. */
const quota = classic((sent, { policy }) => {
  const { nanoCpus } = policy.terms
  return nanoCpus === undefined ? sent : String((nanoCpus * PERIOD) / BILLION)
})
const period = classic((sent, { policy }) =>
  policy.terms.nanoCpus === undefined ? sent : String(PERIOD),
)

const shmSize: Judge = (value, { policy }) =>
  send(toText(atMost(toNumber(value), policy.terms.memory)) ?? '')

const cgroupParent: Judge = (value, { policy }) =>
  text(value) === policy.terms.cgroupParent
    ? send(value)
    : refuse("it leaves the tenant's own cgroup and its limits")

/** JSON in the query: the reader of queries has refused duplicates and depth already. */
const parsed = (value: Json): unknown => {
  try {
    return JSON.parse(text(value))
  } catch {
    return undefined
  }
}

/** What Go makes of a map or list that nobody filled: as good as not said. */
const isUnset = (read: unknown): boolean => read === null

const ulimits: Judge = (value, hearing) => {
  const limits = parsed(value)
  if (isUnset(limits)) return send(value)
  if (!Array.isArray(limits)) return refuse('it is no list')
  for (const limit of limits) {
    const names = Object.entries(limit ?? {}).filter(([key]) => key.toLowerCase() === 'name')
    const outcome = ulimit(new Map([['Name', String(names[0]?.[1] ?? '')]]), hearing)
    if (names.length !== 1 || 'refuse' in outcome)
      return refuse('it has a limit that protects the engine')
  }
  return send(value)
}

const labels: Judge = (value, hearing) => {
  const all = parsed(value)
  if (isUnset(all)) return send(value)
  if (typeof all !== 'object' || all === null) return refuse('it is no object of labels')
  const own = Object.entries(all).filter(([name]) => isOwnLabel(name, hearing))
  return send(JSON.stringify(Object.fromEntries(own)))
}

const someBuilder: Force = (sent) => {
  if (text(sent) === BUILDKIT) return sent
  throw new Failure(
    'POLICY_DENIED',
    'the classic builder makes containers of its own. Use docker buildx build.',
  )
}

const tags = (value: Json) =>
  (isList(value) ? value : []).map((name) => ({ kind: 'tag', name: text(name) }) as const)

export const BUILD = {
  t: { shape: STRINGS, verdicts: everywhere('allow'), names: tags },
  version: {
    shape: STRING,
    verdicts: reachesNeighbours('confine'),
    force: someBuilder,
    why: 'the classic builder makes containers of its own',
  },
  securityopt: {
    shape: STRINGS,
    verdicts: reachesHost('deny'),
    why: 'it loosens the walls of the build',
    cure: 'Leave out --security-opt.',
  },
  remote: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: oneOf('client-session'),
    why: 'the engine would fetch from an address of your choice',
    cure: 'Clone it and build from the directory.',
  },
  memory: {
    shape: STRING,
    verdicts: reachesHost('clamp'),
    force: memory,
    why: 'it is limited by the plan',
  },
  memswap: {
    shape: STRING,
    verdicts: reachesHost('clamp'),
    force: memory,
    why: 'there is no swap',
  },
  cpuperiod: {
    shape: STRING,
    verdicts: reachesHost('clamp'),
    force: period,
    why: 'the plan limits it',
  },
  cpuquota: {
    shape: STRING,
    verdicts: reachesHost('clamp'),
    force: quota,
    why: 'the plan limits it',
  },
  cpusetcpus: {
    shape: STRING,
    verdicts: reachesNeighbours('deny'),
    why: 'it can pin itself to the processors of others',
    cure: 'Leave out --cpuset-cpus.',
  },
  cpusetmems: {
    shape: STRING,
    verdicts: reachesNeighbours('deny'),
    why: 'it can pin itself to the memory of others',
    cure: 'Leave out --cpuset-mems.',
  },
  cgroupparent: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: cgroupParent,
    force: classic((sent, { policy }) => policy.terms.cgroupParent ?? sent),
    why: "it leaves the tenant's own cgroup and its limits",
    cure: 'Leave out --cgroup-parent.',
  },
  networkmode: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: networkMode,
    force: (sent, { policy }) => (policy.networking ? sent : 'none'),
    names: networkIn,
    why: 'only networks of containers can be joined',
    cure: 'Leave out --network host.',
  },
  shmsize: { shape: STRING, verdicts: reachesHost('clamp'), judge: shmSize, why: 'it is memory' },
  ulimits: {
    shape: STRING,
    verdicts: reachesHost('confine'),
    judge: ulimits,
    why: 'some limits protect the engine',
    cure: 'Leave out --ulimit for rtprio, rttime and nice.',
  },
  labels: {
    shape: STRING,
    verdicts: everywhere('confine'),
    judge: labels,
    why: 'labels of this family are set by berth alone',
  },
  session: {
    shape: STRING,
    verdicts: everywhere('allow'),
    names: (value) => (text(value) === '' ? [] : [{ kind: 'session', name: text(value) }]),
  },
  buildid: {
    shape: STRING,
    verdicts: everywhere('allow'),
    names: (value) => (text(value) === '' ? [] : [{ kind: 'build', name: text(value) }]),
  },
} satisfies Table
