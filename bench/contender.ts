/** The contenders: what stands between a docker client and its engine, each started by one command. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Native, native } from './native.ts'
import { COMPILED, ROOT, SOURCES } from './places.ts'
import type { Command } from './process.ts'

/** Where a contender is to listen, and what it stands before. */
export interface Place {
  readonly port: number
  readonly socket: string
  /** A folder of its own for one run. */
  readonly folder: string
}

/** What a workload needs that not every contender has. */
export type Need = 'hijack' | 'stream' | 'bulk' | 'tls'

export interface Contender {
  readonly name: string
  readonly what: string
  /** Undefined for the engine itself: nothing is started. */
  readonly command: ((place: Place) => Command) | undefined
  readonly lacks: ReadonlySet<Need>
  /** Its version, or throws where it is not installed. */
  version(): string
}

const lacks = (...needs: Need[]): ReadonlySet<Need> => new Set(needs)

const versionFrom = (file: string, ...args: string[]): string => {
  const { stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8' })
  if (error) throw error
  return /\d+\.\d+[\w.+~-]*/.exec(stdout + stderr)?.[0] ?? 'unknown'
}

/** A template of bench/contenders with its `{port}`, `{socket}` and `{dir}` filled in. */
const configFile = (name: string, { port, socket, folder }: Place): string => {
  const template = readFileSync(join(SOURCES, 'contenders', name), 'utf8')
  const file = join(folder, name)
  const text = template
    .replaceAll('{port}', String(port))
    .replaceAll('{socket}', socket)
    .replaceAll('{dir}', folder)
  writeFileSync(file, text)
  return file
}

const built = (name: Native, env?: Record<string, string>) => (place: Place) => ({
  file: native(name),
  args: [String(place.port), place.socket],
  ...(env && { env }),
})

/** One thread for everybody, as all the others have one. */
const ONE_THREAD = { GOMAXPROCS: '1' }

const goVersion = (name: Native): string => {
  native(name)
  return versionFrom('go', 'version')
}

/** berth as built in `root`. Tenants and TLS come in here: one more flag each, in this one place. */
export const berthIn = (root: string, name = 'berth'): Contender => ({
  name,
  what: 'this project: one process, anonymous listener, log silent',
  command: ({ port, socket }) => ({
    file: process.execPath,
    args: [
      ...(process.env.BENCH_NODE_FLAGS?.split(' ') ?? []),
      join(root, 'dist/src/main.js'),
      'serve',
      '--anonymous',
      '--log=silent',
      `--listen=tcp://127.0.0.1:${port}`,
      `--engine=unix://${socket}`,
    ],
  }),
  lacks: lacks(),
  version: () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    return `${version} (${commitOf(root)}, Node ${process.versions.node})`
  },
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
    name: 'haproxy',
    what: 'nbthread 1, http-reuse always',
    command: (place) => ({
      file: 'haproxy',
      args: ['-db', '-f', configFile('haproxy.cfg', place)],
    }),
    lacks: lacks(),
    version: () => versionFrom('haproxy', '-v'),
  },
  {
    name: 'nginx',
    what: 'one worker, buffering off, upstream keepalive 512',
    command: (place) => ({ file: 'nginx', args: ['-c', configFile('nginx.conf', place)] }),
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
    command: built('reverse', ONE_THREAD),
    lacks: lacks(),
    version: () => goVersion('reverse'),
  },
  {
    name: 'go-read-all',
    what: 'read all, new request, copy the fields, write all; 512 idle connections, GOMAXPROCS=1',
    command: built('read-all', ONE_THREAD),
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
    version: () => `Node ${process.versions.node}`,
  },
  {
    name: 'c-relay',
    what: 'read and write with 1 MiB, no HTTP: the physical limit',
    command: built('relay'),
    lacks: lacks(),
    version: () => versionFrom('gcc', '--version').replace(/^/, 'gcc '),
  },
]

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
