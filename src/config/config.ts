/** berth.yaml, BERTH_* and flags -> one frozen Config; what would fail at midnight fails here, with the key's name. */
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'

/** A value that does not fit, said in the words of whoever wrote it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

const seconds = (most: number) => z.number().int().min(1).max(most)
const count = () => z.number().int().min(1).max(1_000_000).optional()

const SIZE = /^([1-9][0-9]{0,11})([kmgt]?)$/i
const UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  k: 1n << 10n,
  m: 1n << 20n,
  g: 1n << 30n,
  t: 1n << 40n,
}
/** `512m` -> bytes. */
const size = () =>
  z
    .string()
    .regex(SIZE, 'a size such as 512m')
    .transform((text) => {
      const [, digits = '', unit = ''] = SIZE.exec(text) ?? []
      return BigInt(digits) * (UNITS[unit.toLowerCase()] ?? 1n)
    })
    .optional()

const CERTIFICATE = z.strictObject({
  certificate: z.string().describe('PEM file: the certificate, then those between it and its root'),
  key: z.string().describe('PEM file'),
})

const TLS_MATERIAL = {
  ca: z
    .string()
    .optional()
    .describe("PEM file: the authorities to trust instead of the system's; only with tls://"),
  certificate: z.string().optional().describe('PEM file: what to show; only with tls://'),
  key: z.string().optional().describe('PEM file: of `certificate`'),
}

/** An address alone stands for an object with nothing else in it. */
const orUrl = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.preprocess(
    (value) => (typeof value === 'string' ? { url: value } : value),
    z.strictObject(shape, {
      error: ({ code }) =>
        code === 'invalid_type' ? 'expected an address, or an object with its `url`' : undefined,
    }),
  )

const BUILDER = orUrl({
  url: z.string().describe('unix:///PATH, tcp://HOST:PORT or tls://HOST:PORT'),
  ...TLS_MATERIAL,
})

const ENGINE = orUrl({
  url: z.string().describe('unix:///PATH, tcp://HOST:PORT or tls://HOST:PORT'),
  ...TLS_MATERIAL,
  build: BUILDER.optional().describe('a buildkitd where builds go instead of to the engine'),
})

const LIMITS = z.strictObject({
  inFlight: count().describe('short requests under way: create, exec, lists'),
  streams: count().describe('builds and pulls under way'),
  perSecond: count().describe('new requests a second'),
})

const PLAN = LIMITS.extend({
  memory: size().describe('bytes of a container at most: 512m, 2g'),
  cpus: z.number().positive().max(1024).optional().describe('processors of a container at most'),
  pids: count().describe('processes of a container at most'),
})

const LISTEN_MISSING =
  'where? say --listen tcp://127.0.0.1:2375 (or BERTH_LISTEN, or `listen` in berth.yaml)'

const SCHEMA = z.strictObject({
  listen: z
    .array(z.string(), {
      error: ({ input }) => (input === undefined ? LISTEN_MISSING : undefined),
    })
    .min(1)
    .describe('where clients connect: tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH'),
  engine: ENGINE.optional().describe(
    'the engine of the endpoint "default": unix:///PATH, tcp://HOST:PORT or tls://HOST:PORT',
  ),
  endpoints: z
    .record(z.string(), ENGINE)
    .default({})
    .describe('further engines by name, for tenants to be given'),
  anonymous: z.boolean().default(false).describe('serve one tenant, without asking who it is'),
  force: z
    .boolean()
    .default(false)
    .describe('let an anonymous listener be reached from other machines'),
  allowedHosts: z
    .array(z.string())
    .default([])
    .describe('further host names that an anonymous TCP listener answers to'),
  state: z
    .string()
    .default('/var/lib/berth')
    .describe('the folder of secrets, certificate authorities and the embedded store'),
  store: z
    .string()
    .optional()
    .describe(
      'lmdb:///DIR, redis://HOST, rediss://HOST, redis+sentinel://..., redis+cluster://...',
    ),
  cacheSeconds: seconds(86_400)
    .default(600)
    .describe('how long known tenants are served while the store is away'),
  domain: z
    .array(z.string())
    .default([])
    .describe('names of this berth, for the certificate of its own that tls:// listeners show'),
  tls: z
    .strictObject({
      certificates: z
        .array(CERTIFICATE)
        .default([])
        .describe('chosen by server name; the first for clients without one'),
      clientAuthorities: z
        .array(
          z.strictObject({
            certificate: z.string().describe('PEM file: the authority'),
            tenants: z.array(z.string()).min(1).describe('whom its certificates may speak for'),
          }),
        )
        .default([])
        .describe("authorities beside berth's own whose client certificates identify tenants"),
    })
    .prefault({}),
  workers: z
    .number()
    .int()
    .min(1)
    .max(256)
    .default(1)
    .describe('processes, to which connections are dealt in turn'),
  balancers: z
    .array(z.string())
    .default([])
    .describe('networks (CIDR) whose connections begin with a PROXY v2 header'),
  profile: z
    .string()
    .default('dedicated')
    .describe('the policy of an anonymous tenant: open, dedicated, shared, or one of `policies`'),
  policies: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('changes to the profiles, by name (berth policy show)'),
  plans: z.record(z.string(), PLAN).default({}).describe('what tenants of a plan may have at once'),
  engineLimits: LIMITS.prefault({}).describe('what all tenants of one engine may have together'),
  bodyCap: size().describe('bytes of a JSON body at most; 4m unless said otherwise'),
  log: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe('the least severe line to log'),
  drainSeconds: z
    .number()
    .int()
    .min(0)
    .max(86_400)
    .default(30)
    .describe('how long SIGTERM waits for streams to end'),
  limits: z
    .strictObject({
      connections: z
        .number()
        .int()
        .min(1)
        .max(1_000_000)
        .default(10_000)
        .describe('open client connections'),
      headSeconds: seconds(300)
        .default(10)
        .describe('for a request head, from its first byte to its last'),
      idleSeconds: seconds(3600)
        .min(31)
        .default(75)
        .describe('between two requests; docker keeps connections for 30'),
    })
    .prefault({}),
})

export type Config = Readonly<z.infer<typeof SCHEMA>>

/** An engine as it is configured: its address, and the files that it needs. */
export type EngineConfig = Readonly<z.infer<typeof ENGINE>>

/** An operator's commands listen nowhere, and may be run where no berth is configured at all. */
const OPERATOR_SCHEMA = SCHEMA.partial({ listen: true })

export type OperatorConfig = Readonly<z.infer<typeof OPERATOR_SCHEMA>>

/** Where a value comes from, weakest first; the name is for error messages. */
export interface ConfigSources {
  /** What a command takes where nobody says otherwise, by config key. */
  readonly defaults?: Readonly<Record<string, unknown>>
  /** The text of berth.yaml, if there is one. */
  readonly file?: { readonly name: string; readonly text: string }
  readonly env: Readonly<Record<string, string | undefined>>
  /** Flags that were given, by config key. */
  readonly flags: Readonly<Record<string, unknown>>
}

type Reader = (text: string) => unknown

const words: Reader = (text) => text.split(',').map((word) => word.trim())
const text: Reader = (value) => value
const DIGITS = /^[0-9]+$/
const number: Reader = (value) => (DIGITS.test(value) ? Number(value) : value)
const BOOLEANS: Readonly<Record<string, boolean>> = {
  '1': true,
  true: true,
  yes: true,
  '0': false,
  false: false,
  no: false,
}
const boolean: Reader = (value) => BOOLEANS[value.toLowerCase()] ?? value

/** Environment variable -> the key it sets, and how its text is read. */
const ENVIRONMENT: Readonly<Record<string, readonly [path: readonly string[], reader: Reader]>> = {
  BERTH_LISTEN: [['listen'], words],
  BERTH_ENGINE: [['engine'], text],
  BERTH_ANONYMOUS: [['anonymous'], boolean],
  BERTH_FORCE: [['force'], boolean],
  BERTH_ALLOWED_HOSTS: [['allowedHosts'], words],
  BERTH_PROFILE: [['profile'], text],
  BERTH_STATE: [['state'], text],
  BERTH_STORE: [['store'], text],
  BERTH_CACHE_SECONDS: [['cacheSeconds'], number],
  BERTH_DOMAIN: [['domain'], words],
  BERTH_BALANCERS: [['balancers'], words],
  BERTH_BODY_CAP: [['bodyCap'], text],
  BERTH_LOG: [['log'], text],
  BERTH_WORKERS: [['workers'], number],
  BERTH_DRAIN_SECONDS: [['drainSeconds'], number],
  BERTH_LIMITS_CONNECTIONS: [['limits', 'connections'], number],
  BERTH_LIMITS_HEAD_SECONDS: [['limits', 'headSeconds'], number],
  BERTH_LIMITS_IDLE_SECONDS: [['limits', 'idleSeconds'], number],
}

/** Read by other parts. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set([
  'BERTH_CONFIG',
  'BERTH_CACHE',
  'BERTH_KEY',
  'BERTH_SEED',
  'BERTH_SOAK',
])

type Tree = Record<string, unknown>

const put = (tree: Tree, path: readonly string[], value: unknown): void => {
  const [key = '', ...rest] = path
  if (rest.length === 0) tree[key] = value
  else {
    tree[key] ??= {}
    // what cannot have keys is told of by the schema
    if (typeof tree[key] === 'object') put(tree[key] as Tree, rest, value)
  }
}

const fromFile = (file: ConfigSources['file']): Tree => {
  if (file === undefined) return {}
  let tree: unknown
  try {
    tree = parseYaml(file.text) ?? {}
  } catch (error) {
    throw new ConfigError(`${file.name}: ${(error as Error).message}`, { cause: error })
  }
  if (typeof tree !== 'object' || Array.isArray(tree))
    throw new ConfigError(`${file.name}: expected keys and values`)
  return tree as Tree
}

/** A key as its writer spelt it: flag, variable or path in the file. */
const sourceOf = (path: readonly PropertyKey[], sources: ConfigSources): string => {
  const key = path.join('.')
  if (sources.flags[String(path[0])] !== undefined)
    return `--${String(path[0]).replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  const variable = Object.entries(ENVIRONMENT).find(
    ([name, [at]]) => at.join('.') === key && sources.env[name],
  )
  return variable?.[0] ?? [sources.file?.name, key].filter(Boolean).join(': ')
}

const read = <Schema extends z.ZodType>(
  schema: Schema,
  sources: ConfigSources,
): Readonly<z.infer<Schema>> => {
  const tree: Tree = { ...sources.defaults, ...fromFile(sources.file) }
  for (const [name, value] of Object.entries(sources.env)) {
    if (!name.startsWith('BERTH_') || value === undefined || OTHER_VARIABLES.has(name)) continue
    const row = ENVIRONMENT[name]
    if (row === undefined) throw new ConfigError(`${name}: there is no such setting`)
    // compose files and units pass on what nobody has set as an empty text
    if (value !== '') put(tree, row[0], row[1](value))
  }
  for (const [key, value] of Object.entries(sources.flags))
    if (value !== undefined) tree[key] = value
  const result = schema.safeParse(tree)
  if (!result.success)
    throw new ConfigError(
      result.error.issues
        .map((issue) => `${sourceOf(issue.path, sources) || 'config'}: ${issue.message}`)
        .join('\n'),
    )
  return Object.freeze(result.data)
}

/** @throws ConfigError that names each key and what is wrong with it */
export const readConfig = (sources: ConfigSources): Config => read(SCHEMA, sources)

/** As `readConfig`, for commands that do not listen. */
export const readOperatorConfig = (sources: ConfigSources): OperatorConfig =>
  read(OPERATOR_SCHEMA, sources)
