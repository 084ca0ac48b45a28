/** The contenders: what stands between a docker client and its engine, each started by one command. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Certificate } from './certificate.ts'
import { type Native, native } from './native.ts'
import { COMPILED, ROOT, SOURCES } from './places.ts'
import type { Command } from './process.ts'

/** Where a contender is to listen, and what it stands before. */
export interface Place {
  readonly port: number
  readonly socket: string
  /** A folder of its own for one run. */
  readonly folder: string
  /** What its listener is to show, where it is to speak TLS. */
  readonly tls: Certificate | undefined
}

/** What a workload needs that not every contender has. */
export type Need = 'hijack' | 'stream' | 'bulk'

export interface Contender {
  readonly name: string
  readonly what: string
  /** Undefined for the engine itself: nothing is started. */
  readonly command: ((place: Place) => Command) | undefined
  readonly lacks: ReadonlySet<Need>
  /** What it prints when all of it is there: one worker of several may answer before. */
  readonly announces?: string
  /** Takes part only in workloads that name it. */
  readonly isNamedOnly?: true
  /** Compiles while it runs: it is warmed up longer where a workload says so. */
  readonly isJit?: true
  /** Its version, or throws where it is not installed. */
  version(): string
}

const lacks = (...needs: Need[]): ReadonlySet<Need> => new Set(needs)

const versionFrom = (file: string, ...args: string[]): string => {
  const { stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8' })
  if (error) throw error
  return /\d+\.\d+[\w.+~-]*/.exec(stdout + stderr)?.[0] ?? 'unknown'
}

/** A template of bench/contenders with its `{port}`, `{socket}`, `{dir}` and whatever is in `more` filled in. */
const configFile = (
  name: string,
  { port, socket, folder }: Place,
  more: Readonly<Record<string, string>> = {},
): string => {
  const template = readFileSync(join(SOURCES, 'contenders', name), 'utf8')
  const file = join(folder, name)
  const values = { port: String(port), socket, dir: folder, ...more }
  let text = template
  for (const [key, value] of Object.entries(values)) text = text.replaceAll(`{${key}}`, value)
  writeFileSync(file, text)
  return file
}

const haproxy = (
  config: string,
  threads = 1,
): Pick<Contender, 'command' | 'lacks' | 'version'> => ({
  command: (place) => {
    const ssl = place.tls === undefined ? '' : `ssl crt ${place.tls.both}`
    const file = configFile(config, place, { threads: String(threads), ssl })
    return { file: 'haproxy', args: ['-db', '-f', file] }
  },
  lacks: lacks(),
  version: () => versionFrom('haproxy', '-v'),
})

const nginxTls = ({ tls }: Place) =>
  tls === undefined
    ? { ssl: '', certificate: '' }
    : {
        ssl: 'ssl',
        certificate: `ssl_protocols TLSv1.3; ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};`,
      }

const berthTls = ({ tls, folder }: Place): string[] => {
  if (tls === undefined) return []
  const file = join(folder, 'berth.yaml')
  const { certificate, key } = tls
  // JSON is YAML
  writeFileSync(file, JSON.stringify({ tls: { certificates: [{ certificate, key }] } }))
  return [`--config=${file}`, `--state=${join(folder, 'state')}`]
}

const built =
  (name: Native, { env, more = [] }: { env?: Record<string, string>; more?: string[] } = {}) =>
  (place: Place) => ({
    file: native(name),
    args: [String(place.port), place.socket, ...more],
    ...(env && { env }),
  })

/** One thread for everybody, as all the others have one. */
const ONE_THREAD = { GOMAXPROCS: '1' }

const goVersion = (name: Native): string => {
  native(name)
  return versionFrom('go', 'version')
}

/** How a berth differs from the one that everybody is measured against. */
interface Variant {
  readonly name: string
  readonly what: string
  readonly flags: readonly string[]
}

const PLAIN: Variant = {
  name: 'berth',
  what: 'this project: one process, anonymous listener, profile dedicated, log silent',
  flags: [],
}

/** berth as built in `root`. */
export const berthIn = (root: string, variant: Partial<Variant> = {}): Contender => {
  const { name, what, flags } = { ...PLAIN, ...variant }
  return {
    name,
    what,
    command: (place) => ({
      file: process.execPath,
      args: [
        ...(process.env.BENCH_NODE_FLAGS?.split(' ').filter((flag) => flag !== '') ?? []),
        join(root, 'dist/src/main.js'),
        'serve',
        '--anonymous',
        '--log=silent',
        `--listen=${place.tls === undefined ? 'tcp' : 'tls'}://127.0.0.1:${place.port}`,
        `--engine=unix://${place.socket}`,
        ...berthTls(place),
        ...flags,
      ],
    }),
    lacks: lacks(),
    isJit: true,
    announces: 'listening on',
    version: () => {
      const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
      return `${version} (${commitOf(root)}, Node ${process.versions.node})`
    },
  }
}

/** The same with flags of Node's before what it is started with; unchanged where it does not run on Node. */
export const withNodeFlags = ({ command, ...rest }: Contender, ...flags: string[]): Contender => ({
  ...rest,
  command:
    command &&
    ((place) => {
      const plain = command(place)
      return plain.file === process.execPath ? { ...plain, args: [...flags, ...plain.args] } : plain
    }),
})

const commitOf = (root: string): string => {
  try {
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', root, ...args], { encoding: 'utf8' }).trim()
    const changed = git('status', '--porcelain', '--', 'src') === '' ? '' : ' and changes'
    return git('rev-parse', '--short', 'HEAD') + changed
  } catch {
    return 'no git'
  }
}

export const CONTENDERS: readonly Contender[] = [
  {
    name: 'direct',
    what: 'no proxy: the client speaks TCP to the engine of the bench',
    command: undefined,
    lacks: lacks(),
    version: () => '',
  },
  berthIn(ROOT),
  {
    ...berthIn(ROOT, {
      name: 'berth-open',
      what: 'berth with profile open: builds are spliced, unread',
      flags: ['--profile=open'],
    }),
    isNamedOnly: true,
  },
  {
    ...berthIn(ROOT, {
      name: 'berth-2',
      what: 'berth with two workers',
      flags: ['--workers=2'],
    }),
    isNamedOnly: true,
  },
  {
    name: 'haproxy',
    what: 'nbthread 1, http-reuse always',
    ...haproxy('haproxy.cfg'),
  },
  {
    name: 'haproxy-2',
    what: 'HAProxy with nbthread 2',
    ...haproxy('haproxy.cfg', 2),
    isNamedOnly: true,
  },
  {
    name: 'nginx',
    what: 'one worker, buffering off, upstream keepalive 512',
    command: (place) => ({
      file: 'nginx',
      args: ['-c', configFile('nginx.conf', place, nginxTls(place))],
    }),
    lacks: lacks(),
    version: () => versionFrom('nginx', '-v'),
  },
  {
    name: 'caddy',
    what: 'reverse_proxy, flush at once, GOMAXPROCS=1',
    command: (place) => ({
      file: 'caddy',
      args: ['run', '--adapter', 'caddyfile', '--config', configFile('Caddyfile', place)],
      env: { ...ONE_THREAD, HOME: place.folder },
    }),
    lacks: lacks(),
    version: () => versionFrom('caddy', 'version'),
  },
  {
    name: 'go-reverse',
    what: "net/http/httputil's ReverseProxy, 512 idle connections, GOMAXPROCS=1",
    command: built('reverse', { env: ONE_THREAD }),
    lacks: lacks(),
    version: () => goVersion('reverse'),
  },
  {
    name: 'go-read-all',
    what: 'read all, new request, copy the fields, write all; 512 idle connections, GOMAXPROCS=1',
    command: built('read-all', { env: ONE_THREAD }),
    lacks: lacks('hijack', 'stream', 'bulk'),
    version: () => goVersion('read-all'),
  },
  {
    name: 'node-http',
    what: 'node:http on both sides, joined with pipe',
    command: (place) => ({
      file: process.execPath,
      args: [join(COMPILED, 'contenders/node-http.js'), String(place.port), place.socket],
    }),
    lacks: lacks(),
    isJit: true,
    version: () => `Node ${process.versions.node}`,
  },
  {
    name: 'c-relay',
    what: 'read and write with 1 MiB, no HTTP: the physical limit',
    command: built('relay'),
    lacks: lacks(),
    version: () => versionFrom('gcc', '--version').replace(/^/, 'gcc '),
  },
  {
    name: 'c-relay-busy',
    what: 'the relay, computing for 3 us over each message: what CPU time alone makes of a tail',
    command: built('relay', { more: ['3000'] }),
    lacks: lacks(),
    isNamedOnly: true,
    version: () => versionFrom('gcc', '--version').replace(/^/, 'gcc '),
  },
  {
    name: 'haproxy-tcp',
    what: 'HAProxy in TCP mode, nbthread 1',
    ...haproxy('haproxy-tcp.cfg'),
    isNamedOnly: true,
  },
  {
    name: 'node-splice',
    what: 'node:net on both sides, joined with pipe: what a splice costs on this runtime',
    command: (place) => ({
      file: process.execPath,
      args: [join(COMPILED, 'contenders/node-splice.js'), String(place.port), place.socket],
    }),
    lacks: lacks(),
    isJit: true,
    isNamedOnly: true,
    version: () => `Node ${process.versions.node}`,
  },
]

/** What of a workload says who is measured on it. */
interface Field {
  readonly contenders?: readonly string[]
  readonly guests?: readonly string[]
  readonly needs?: Need
  readonly isSide?: true
}

/** Those whom a workload names, or everybody who can do it. @param isAll in a run of everything */
export const takesPart = (
  { name, lacks, isNamedOnly }: Contender,
  { contenders, guests, needs, isSide }: Field,
  isAll: boolean,
): boolean => {
  if (contenders !== undefined) return contenders.includes(name)
  if (guests?.includes(name)) return true
  if (isNamedOnly || (needs !== undefined && lacks.has(needs))) return false
  return !(isAll && isSide) || CORE.has(name)
}

/** Whom everybody else is read against. */
export const CORE: ReadonlySet<string> = new Set(['direct', 'berth', 'haproxy', 'nginx', 'c-relay'])

export interface Present {
  readonly contender: Contender
  readonly version: string
}

/** The contenders of these names that this machine has; `missing` tells of each other one. */
export const presentOf = (
  names: ReadonlySet<string> | undefined,
  missing: (name: string, why: string) => void,
): Present[] =>
  CONTENDERS.filter(({ name }) => names?.has(name) ?? true).flatMap((contender) => {
    try {
      return [{ contender, version: contender.version() }]
    } catch (error) {
      missing(contender.name, (error as Error).message)
      return []
    }
  })
