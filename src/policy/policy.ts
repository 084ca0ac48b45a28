/** What one tenant may do: a profile, the operator's changes to it, and the terms of the tenant's plan. */
import { z } from 'zod'
import { nearest } from './nearest.ts'
import { PROFILES, type Profile, VERDICTS, type Verdict } from './table.ts'

const SIZE = /^[1-9]\d{0,11}[kmg]?$/
const PORTS = /^[1-9]\d{0,4}-[1-9]\d{0,4}$/

/** Docker's own set, which a container keeps unless it drops them. */
export const DOCKER_CAPABILITIES = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]

/** Sysctls that the kernel keeps per container; of net.* all are, as host networking is refused. */
const SYSCTLS = ['net.*', 'kernel.msg*', 'kernel.sem', 'kernel.shm*', 'fs.mqueue.*']

/** Addresses that no network of a tenant may cover: loopback, link-local and multicast. */
const SUBNETS_IN_USE = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/3',
  'fe80::/10',
  '::1/128',
  '::ffff:0:0/96',
]

/**
 * Where networks may lie: addresses that the host cannot need to reach anybody else by. RFC 1918, RFC 6598 (shared),
 * RFC 2544 (benchmarks), RFC 4193 (unique local) and RFC 3849 (examples, which docker's manual uses).
 */
const SUBNETS = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '198.18.0.0/15',
  'fc00::/7',
  '2001:db8::/32',
]

/** `policies.NAME` in berth.yaml. */
export const policySchema = z.strictObject({
  extends: z
    .enum(PROFILES)
    .default('dedicated')
    .describe('the profile whose column holds for what is not said here'),
  onViolation: z
    .enum(['deny', 'strip'])
    .default('deny')
    .describe('refuse the request, or leave the value out'),
  mode: z
    .enum(['enforce', 'audit'])
    .default('enforce')
    .describe('audit only records what it would have done'),
  rows: z
    .record(z.string(), z.enum(VERDICTS))
    .default({})
    .describe('verdicts by path, as `berth policy show` lists them'),

  capabilities: z
    .array(z.string())
    .default(DOCKER_CAPABILITIES)
    .describe('what --cap-add may name'),
  onlyCapabilities: z.array(z.string()).optional().describe('containers keep none but these'),
  securityOptions: z
    .array(z.string())
    .default([])
    .describe("what --security-opt may say beside no-new-privileges and docker's own defaults"),
  seccomp: z.string().optional().describe('the seccomp profile of every container, as JSON text'),
  apparmor: z.string().optional().describe('the AppArmor profile of every container'),
  runAs: z
    .int()
    .min(1)
    .max(2_147_483_647)
    .optional()
    .describe('no container runs as root; those that would, run as this uid'),
  sysctls: z
    .array(z.string())
    .default(SYSCTLS)
    .describe('what --sysctl may set; * stands for anything'),
  runtimes: z.array(z.string()).default(['runc']).describe('what --runtime may name'),

  images: z
    .array(z.string())
    .optional()
    .describe('where images may come from: docker.io/library/*, registry.example.com/**'),
  localImages: z
    .boolean()
    .default(true)
    .describe('may images run that were built, loaded, imported, tagged or committed here?'),

  networking: z.boolean().default(true).describe('false: containers have no network'),
  ports: z
    .string()
    .regex(PORTS, 'a range such as 8000-8999')
    .optional()
    .describe('ports that may be published'),
  networkDrivers: z
    .array(z.string())
    .default(['bridge'])
    .describe('what docker network create -d may name'),
  subnets: z
    .array(z.string())
    .default(SUBNETS)
    .describe('where a network may lie: the host reaches what a network covers no more'),
  sharedNetworks: z
    .array(z.string())
    .default([])
    .describe('networks that anybody may join, whatever their driver and options: lan, lan-*'),
  subnetsInUse: z
    .array(z.string())
    .default([])
    .describe("subnets that no network may cover, such as the engine's uplink"),

  logDrivers: z
    .array(z.string())
    .min(1)
    .default(['json-file', 'local', 'none'])
    .describe('the first is used where none is named'),
  logMaxSize: z
    .string()
    .regex(SIZE, 'a size such as 10m')
    .default('10m')
    .describe('of one log file'),
  logMaxFiles: z.int().min(1).max(100).default(3).describe('log files of a container'),

  binds: z
    .enum(['confine', 'deny'])
    .default('confine')
    .describe("paths of the client's machine: kept in a volume of the tenant's, or refused"),
  sharedMounts: z
    .record(z.string().regex(/^[a-z0-9][a-z0-9-]*$/), z.string().startsWith('/'))
    .default({})
    .describe(
      'host paths that anybody may mount as /berth/NAME: read-only, without what is mounted below them',
    ),
})

type Options = z.output<typeof policySchema>

/** What the tenant's plan and owner add to whatever policy holds. */
export interface Terms {
  /** Put on everything the tenant makes. */
  readonly labels?: ReadonlyMap<string, string>
  /** Bytes. */
  readonly memory?: bigint
  readonly nanoCpus?: bigint
  readonly pids?: bigint
  readonly runtime?: string
  readonly cgroupParent?: string
  /** The engine's BuildKit grants no entitlements: without that, what goes over its gRPC is out of berth's hands. */
  readonly buildsAreFenced?: boolean
  /** The volume in which the tenant's bind mounts live. */
  readonly volume?: string
  /** The engine's API version; below 1.45 a volume has no subpaths. */
  readonly api?: readonly [major: number, minor: number]
}

export interface Policy extends Omit<Options, 'extends' | 'rows'> {
  /** As the messages call it. */
  readonly name: string
  readonly profile: Profile
  /** The operator's own verdicts, by rule path. */
  readonly rows: ReadonlyMap<string, Verdict>
  readonly terms: Terms
}

/**
 * A policy from what berth.yaml says under `policies.<name>`.
 * @param known every rule path there is, for `rows`.
 * @throws TypeError that lists, one a line, each key that is wrong and why.
 */
export const definePolicy = (name: string, raw: unknown, known: ReadonlySet<string>): Policy => {
  const parsed = policySchema.safeParse(raw)
  if (!parsed.success) {
    const lines = parsed.error.issues.map(
      (issue) => `policies.${[name, ...issue.path].join('.')}: ${issue.message}${guess(issue)}`,
    )
    throw new TypeError(lines.join('\n'))
  }
  const { extends: profile, rows, ...options } = parsed.data
  const strangers = Object.keys(rows).filter((path) => !known.has(path))
  if (strangers.length > 0) {
    const lines = strangers.map(
      (path) =>
        `policies.${name}.rows: there is no key ${JSON.stringify(path)}${hint(path, known)}`,
    )
    throw new TypeError(lines.join('\n'))
  }
  return Object.freeze({
    ...options,
    subnetsInUse: [...SUBNETS_IN_USE, ...options.subnetsInUse],
    name,
    profile,
    rows: new Map(Object.entries(rows)),
    terms: {},
  })
}

const OPTIONS: ReadonlySet<string> = new Set(Object.keys(policySchema.shape))

/** For a key of the policy itself; what is below one is not guessed. */
const guess = (issue: z.core.$ZodIssue): string =>
  issue.code === 'unrecognized_keys' && issue.path.length === 0
    ? issue.keys.map((key) => hint(key, OPTIONS)).join('')
    : ''

const hint = (path: string, known: ReadonlySet<string>): string => {
  const last = path.slice(path.lastIndexOf('.') + 1).toLowerCase()
  const near = nearest(path, known) ?? [...known].find((rule) => rule.toLowerCase().endsWith(last))
  return near === undefined ? '' : `; did you mean ${near}?`
}

/** The policy as it holds for one tenant on one engine. */
export const withTerms = (policy: Policy, terms: Terms): Policy =>
  Object.freeze({ ...policy, terms })
