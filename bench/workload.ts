/** The workloads, as data: what is asked, how, and what it is counted in. */
import { readFileSync } from 'node:fs'
import type { Need } from './contender.ts'
import type { Placement } from './process.ts'

export type Unit = 'request' | 'GB' | 'stream'

export interface Workload {
  readonly name: string
  readonly title: string
  readonly unit: Unit
  readonly placement: Placement
  readonly needs?: Need
  /** Who is measured, where it is not everybody. */
  readonly contenders?: readonly string[]
  /** Who takes part beside everybody. */
  readonly guests?: readonly string[]
  /** How the contender listens; TCP unless it says so. */
  readonly listener?: 'tls'
  /** Of the load program. */
  readonly mode: 'ask' | 'echo' | 'flood' | 'hold' | 'down' | 'up'
  /** Options of the load program beside those that every run has. */
  readonly load: (scale: Scale) => readonly string[]
  /** Of the bytes that the scale says, one in so many is moved. */
  readonly share?: number
  /** Streams that are held open, where it is not as many as the scale says. */
  readonly streams?: (scale: Scale) => number
  /** What a run is long, where it is not as long as the scale says: so many requests. */
  readonly requests?: number
  /** The usual warm-up so many times, for those who compile while they run and have more to compile. */
  readonly warmups?: number
  /** The usual length of a run so many times, where what is rare has to be seen. */
  readonly stretch?: number
  /** Request head (and small body), as it goes on the wire; empty where HTTP/2 begins at once. */
  readonly request: (scale: Scale) => string
  /** Rounds in a full run: five where a target hangs on it, more where that is a tail. */
  readonly rounds: 3 | 5 | 7
  readonly isQuick?: true
  /** In a run of everything only the core contenders are measured on it; by name, everybody. */
  readonly isSide?: true
  /** Requests a second are fixed, the same for everybody: half of what the slower of berth and HAProxy can do. */
  readonly atHalfLoad?: true
}

/** How much of everything a run does. */
export interface Scale {
  readonly seconds: number
  readonly warmup: number
  readonly bulkBytes: number
  readonly streams: number
}

/** A machine has slow moments: what one can do, for half load, is the middle of so many measurements, in turns. */
export const CALIBRATIONS = 3

export const MIB = 1 << 20
export const WARM_BYTES = 128 * MIB
/** Of a load that only warms up. */
export const MOMENT_SECONDS = 0.1
/** What the engine of the bench answers to a list. */
const LIST_BYTES = 3072
const ATTACHED = ['--status', '101']

/** Each stream takes two descriptors of a proxy. */
const streamsThatFit = (): number => {
  const limits = readFileSync('/proc/self/limits', 'utf8')
  const open = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? 1024)
  return Math.min(8000, Math.floor((open - 500) / 2 / 16) * 16)
}

export const SCALES = {
  full: { seconds: 0.5, warmup: 0.5, bulkBytes: 1024 * MIB, streams: streamsThatFit() },
  /** A workload that was asked for by name. */
  named: { seconds: 3, warmup: 2, bulkBytes: 4096 * MIB, streams: streamsThatFit() },
  quick: { seconds: 0.8, warmup: 0.8, bulkBytes: 512 * MIB, streams: 2000 },
  /** Enough to see that everything works. */
  smoke: { seconds: 0.1, warmup: 0.05, bulkBytes: 8 * MIB, streams: 64 },
} as const satisfies Record<string, Scale>

/** The scale as it is for one workload, and one contender. */
export const scaledFor = (
  { warmups = 1, stretch = 1 }: Workload,
  scale: Scale,
  { isJit = false }: { readonly isJit?: boolean | undefined },
): Scale => ({
  ...scale,
  warmup: scale.warmup * (isJit ? warmups : 1),
  seconds: scale.seconds * stretch,
})

export const streamsOf = ({ streams }: Workload, scale: Scale): number =>
  streams?.(scale) ?? scale.streams

/** What the docker CLI 28 sends on every request; the load program writes another number into each. */
const head = (method: string, path: string, ...fields: string[]): string =>
  [
    `${method} /v1.51${path} HTTP/1.1`,
    'Host: localhost',
    'User-Agent: Docker-Client/28.5.2 (linux)',
    'Traceparent: 00-5af2b4c81b1f4c6d8f0a3d2e########-1f2e3d4c5b6a7988-01',
    ...fields,
    '\r\n',
  ].join('\r\n')

const withBody = (path: string, body: string): string =>
  head('POST', path, 'Content-Type: application/json', `Content-Length: ${body.length}`) + body

const LIST = head('GET', '/containers/json')
const ATTACH = head(
  'POST',
  '/containers/bench/attach?stderr=1&stdin=1&stdout=1&stream=1',
  'Connection: Upgrade',
  'Content-Length: 0',
  'Content-Type: text/plain',
  'Upgrade: tcp',
)
const UPGRADE = head('POST', '/grpc', 'Connection: Upgrade', 'Upgrade: h2c')
const FOLLOW = head('GET', '/containers/bench/logs?follow=1&stderr=1&stdout=1&tail=all')

/** A create as docker makes it, with environment up to about `size` bytes. */
const createBody = (size: number): string => {
  const bare = JSON.stringify(createOf([]))
  const pair = `SETTING_000=${'value-'.repeat(20)}`
  const count = Math.max(0, Math.floor((size - bare.length) / (pair.length + 3)))
  const env = Array.from({ length: count }, (_, i) =>
    pair.replace('000', String(i).padStart(3, '0')),
  )
  return JSON.stringify(createOf(env))
}

const createOf = (env: readonly string[]) => ({
  Hostname: '',
  Domainname: '',
  User: '',
  AttachStdin: false,
  AttachStdout: true,
  AttachStderr: true,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: env,
  Cmd: ['httpd', '-f', '-p', '8080'],
  Image: 'busybox:latest',
  Volumes: {},
  WorkingDir: '',
  Entrypoint: null,
  OnBuild: null,
  Labels: { 'com.docker.compose.project': 'project', 'com.docker.compose.service': 'service' },
  HostConfig: {
    Binds: null,
    NetworkMode: 'bridge',
    PortBindings: { '8080/tcp': [{ HostIp: '', HostPort: '' }] },
    RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    AutoRemove: false,
    Privileged: false,
    PublishAllPorts: false,
    ReadonlyRootfs: false,
    Memory: 0,
    NanoCpus: 0,
    CpuShares: 0,
  },
  NetworkingConfig: { EndpointsConfig: { bridge: null } },
})

const timed = (connections: number, ...more: string[]) => ({
  // One at a time is a chain of wake-ups: see Placement
  placement: connections === 1 ? ('together' as const) : ('apart' as const),
  mode: 'ask' as const,
  unit: 'request' as const,
  load: ({ seconds, warmup }: Scale) => [
    ...['--connections', String(connections)],
    ...['--seconds', String(seconds), '--warmup', String(warmup)],
    ...more,
  ],
})

const list = (connections: number, ...more: string[]) => ({
  ...timed(connections, '--expect', String(LIST_BYTES), ...more),
  request: () => LIST,
})

const create = (size: number) => ({
  ...timed(8, '--status', '201'),
  request: () => withBody('/containers/create?name=bench', createBody(size)),
  // a judge is much code: it is three times as dear before V8 has compiled it
  warmups: 4,
  rounds: 3 as const,
  isSide: true as const,
})

/**
 * A new connection each. Kernels that track connections (wherever iptables has a rule) remember each for two minutes and
 * drop what comes when they remember 262,144: by time, the fastest contenders would leave nothing for those after them.
 */
const FRESH_REQUESTS = 4000
const FRESH_WARM_REQUESTS = 3000
const fresh = (connections: number, ...more: string[]) => ({
  ...timed(connections),
  requests: FRESH_REQUESTS,
  load: () => [
    ...['--connections', String(connections), '--fresh'],
    ...['--count', String(FRESH_REQUESTS), '--warm-count', String(FRESH_WARM_REQUESTS)],
    ...more,
  ],
})

type BodyKind = 'length' | 'chunked'
const once = ['--count', '1', '--warm-bytes', String(WARM_BYTES)]
/** Warm-up bytes come on top, so that what is measured is what it says. */
const sized = ({ bulkBytes }: Scale): number => bulkBytes + WARM_BYTES

const down = (kind: BodyKind) => ({
  placement: 'apart' as const,
  unit: 'GB' as const,
  needs: 'bulk' as const,
  mode: 'ask' as const,
  load: (scale: Scale) => [...once, '--expect', String(sized(scale))],
  request: (scale: Scale) => head('GET', `/images/bench-${sized(scale)}-${kind}/get`),
  rounds: 3 as const,
})

const up = (kind: BodyKind) => ({
  placement: 'apart' as const,
  unit: 'GB' as const,
  needs: 'bulk' as const,
  mode: 'ask' as const,
  load: (scale: Scale) => [
    ...once,
    ...['--upload', String(sized(scale))],
    ...(kind === 'chunked' ? ['--chunked'] : []),
  ],
  request: (scale: Scale) =>
    head(
      'POST',
      '/images/load?quiet=1',
      'Content-Type: application/x-tar',
      kind === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${sized(scale)}`,
    ),
  rounds: 3 as const,
})

const echo = (bytes: number) => ({
  placement: 'together' as const,
  unit: 'request' as const,
  needs: 'hijack' as const,
  mode: 'echo' as const,
  load: ({ seconds, warmup }: Scale) => [
    ...ATTACHED,
    ...['--message', String(bytes)],
    ...['--seconds', String(seconds), '--warmup', String(warmup / 2)],
  ],
  request: () => ATTACH,
})

/** Each byte goes both ways. */
const FLOOD_SHARE = 2

/** A stream's first frame comes at once, and then nothing: memory is read when all are open. */
const idle = (streams: (scale: Scale) => number) => ({
  unit: 'stream' as const,
  placement: 'apart' as const,
  needs: 'stream' as const,
  mode: 'hold' as const,
  streams,
  load: (scale: Scale) => ['--connections', String(streams(scale))],
  request: () => FOLLOW,
  rounds: 3 as const,
  isSide: true as const,
})

/** What a TLS stream weighs is known from fewer of them: each begins with a handshake. */
const TLS_STREAMS_SHARE = 4
/** One certificate, one cipher, and full handshakes, for three that end TLS themselves. */
const overTls = {
  listener: 'tls' as const,
  contenders: ['berth', 'haproxy', 'nginx'],
  warmups: 3,
}

/** Both roads of berth, and what a splice costs in C, in HAProxy and on Node's streams. */
const SPLICES = ['direct', 'berth-open', 'berth', 'haproxy-tcp', 'node-splice', 'c-relay']
/** Beside the five bytes of a gRPC prefix. */
const CALL_BYTES = 32
/** Messages that are judged take longer than bytes. */
const CALL_SHARE = 4

/**
 * One bidirectional call a connection.
 * @param how HTTP/2 begins: by the upgrade that docker and buildx ask for, or from the first byte
 */
const call = (how: 'upgrade' | 'prior', mode: 'echo' | 'down' | 'up') => ({
  // how it begins is nothing to those who relay bytes
  contenders: how === 'upgrade' ? SPLICES : ['berth-open', 'berth', 'c-relay'],
  mode,
  ...(mode === 'echo'
    ? { unit: 'request' as const, placement: 'together' as const, warmups: 4 }
    : { unit: 'GB' as const, placement: 'apart' as const, share: CALL_SHARE }),
  load: ({ seconds, warmup, bulkBytes }: Scale) => [
    ...['--h2', '--status', '101'],
    ...(mode === 'echo'
      ? ['--message', String(CALL_BYTES), '--seconds', String(seconds), '--warmup', String(warmup)]
      : [
          ...['--count', '1', '--warm-bytes', String(WARM_BYTES / CALL_SHARE)],
          ...['--bytes', String(bulkBytes / CALL_SHARE)],
        ]),
  ],
  request: () => (how === 'upgrade' ? UPGRADE : ''),
  rounds: 3 as const,
})

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'get-1',
    title: 'GET /containers/json, 1 connection',
    ...list(1),
    // a third of the requests that many connections bring in the same time
    warmups: 3,
    rounds: 5,
  },
  {
    name: 'get-32',
    title: 'GET /containers/json, 32 connections',
    ...list(32),
    rounds: 5,
    isQuick: true,
  },
  {
    name: 'get-256',
    title: 'GET /containers/json, 256 connections',
    ...list(256),
    // Node accepts one connection a turn of its event loop, and those who are in keep it busy
    warmups: 3,
    rounds: 3,
    isSide: true,
  },
  {
    name: 'get-32-half',
    title: 'GET /containers/json, 32 connections, half load at a fixed rate',
    ...list(32),
    placement: 'undisturbed',
    guests: ['c-relay-busy'],
    // a tail is of those who have learnt their work, and of more than two or three stalls of the machine
    warmups: 3,
    stretch: 2,
    rounds: 7,
    atHalfLoad: true,
  },
  {
    name: 'get-fresh',
    title: 'GET /containers/json, a new connection each, 8 at a time',
    ...fresh(8, '--expect', String(LIST_BYTES)),
    request: () => LIST,
    rounds: 3,
  },
  {
    name: 'ping-32',
    title: 'GET /_ping, 32 connections',
    ...timed(32, '--expect', '2'),
    request: () => head('GET', '/_ping'),
    rounds: 3,
    isSide: true,
  },
  { name: 'create-4k', title: 'POST /containers/create, 4 KB, 8 connections', ...create(4096) },
  { name: 'create-64k', title: 'POST /containers/create, 64 KB, 8 connections', ...create(65_536) },
  { name: 'bulk-down-length', title: 'bulk down, Content-Length', ...down('length') },
  {
    name: 'bulk-down-chunked',
    title: 'bulk down, chunked (docker save)',
    ...down('chunked'),
    isQuick: true,
  },
  { name: 'bulk-up-length', title: 'bulk up, Content-Length', ...up('length') },
  { name: 'bulk-up-chunked', title: 'bulk up, chunked (docker load)', ...up('chunked') },
  {
    name: 'attach-echo-1',
    title: 'attach, echo of 1 byte',
    ...echo(1),
    rounds: 5,
    isQuick: true,
  },
  { name: 'attach-echo-1k', title: 'attach, echo of 1 KB', ...echo(1024), rounds: 3, isSide: true },
  {
    name: 'attach-flood',
    title: 'attach, both directions at once',
    unit: 'GB',
    placement: 'apart',
    needs: 'hijack',
    mode: 'flood',
    share: FLOOD_SHARE,
    load: ({ bulkBytes }) => [
      ...ATTACHED,
      ...['--warm-bytes', String(WARM_BYTES / FLOOD_SHARE)],
      ...['--bytes', String(bulkBytes / FLOOD_SHARE)],
    ],
    request: () => ATTACH,
    rounds: 3,
    isSide: true,
  },
  {
    name: 'logs-first',
    title: 'logs -f on a new connection, until the first byte',
    ...fresh(1, '--until-body'),
    needs: 'stream',
    request: () => FOLLOW,
    rounds: 3,
    isSide: true,
  },
  { name: 'logs-idle', title: 'idle logs -f streams', ...idle(({ streams }) => streams) },
  { name: 'grpc-echo', title: 'gRPC over POST /grpc, echo', ...call('upgrade', 'echo'), rounds: 5 },
  { name: 'grpc-down', title: 'gRPC over POST /grpc, messages down', ...call('upgrade', 'down') },
  { name: 'grpc-up', title: 'gRPC over POST /grpc, messages up', ...call('upgrade', 'up') },
  { name: 'h2c-echo', title: 'gRPC over h2c, echo', ...call('prior', 'echo') },
  { name: 'h2c-down', title: 'gRPC over h2c, messages down', ...call('prior', 'down') },
  { name: 'h2c-up', title: 'gRPC over h2c, messages up', ...call('prior', 'up') },
  {
    name: 'tls-get-32',
    title: 'TLS: GET /containers/json, 32 connections',
    ...list(32),
    ...overTls,
    rounds: 3,
  },
  {
    name: 'tls-get-fresh',
    title: 'TLS: GET /containers/json, a new connection each, 8 at a time',
    ...list(8, '--fresh'),
    ...overTls,
    rounds: 3,
  },
  {
    name: 'tls-bulk-down',
    title: 'TLS: bulk down, chunked (docker save)',
    ...down('chunked'),
    ...overTls,
    rounds: 5,
  },
  {
    name: 'tls-logs-idle',
    title: 'TLS: idle logs -f streams',
    ...idle(({ streams }) => streams / TLS_STREAMS_SHARE),
    ...overTls,
  },
  {
    name: 'workers',
    title: 'GET /containers/json, 64 connections, one and two workers',
    ...list(64),
    placement: 'free',
    contenders: ['berth', 'berth-2', 'haproxy', 'haproxy-2'],
    // each worker learns by itself
    warmups: 3,
    rounds: 5,
  },
]

/** What `name` means: the workload of that name, or else all whose names begin with it. */
const meantBy = (name: string): readonly Workload[] => {
  const exact = WORKLOADS.filter((workload) => workload.name === name)
  return exact.length > 0 ? exact : WORKLOADS.filter((workload) => workload.name.startsWith(name))
}

/** In the order of the table; all where none is named. @throws Error for a name that fits nothing */
export const workloadsNamed = (names: readonly string[]): Workload[] => {
  if (names.length === 0) return [...WORKLOADS]
  const chosen = new Set(
    names.flatMap((name) => {
      const meant = meantBy(name)
      if (meant.length > 0) return meant
      const known = WORKLOADS.map((workload) => workload.name).join(', ')
      throw new Error(`no workload is called "${name}"; there are ${known}`)
    }),
  )
  return WORKLOADS.filter((workload) => chosen.has(workload))
}
