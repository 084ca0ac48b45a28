/** The body of POST /containers/create, and the container config in it, which a commit takes as well. */
import { HOST_CONFIG } from './host-config.ts'
import { text } from './json.ts'
import { LABELS } from './labels.ts'
import { atLeast, between } from './limits.ts'
import { NETWORKING } from './networking.ts'
import { malformed } from './reader.ts'
import {
  BOOL,
  type Body,
  everywhere,
  type Force,
  harmless,
  INT,
  type Judge,
  reachesHost,
  reachesNeighbours,
  SET,
  STRING,
  STRINGS,
  struct,
  type Table,
} from './table.ts'
import { unprivileged } from './walls.ts'

const SECOND = 1_000_000_000n
/** Seconds; below 0 the engine would wait for ever. */
const LONGEST_STOP = 600n

const aSecond: Judge = atLeast(SECOND)

const HEALTHCHECK = struct({
  ...harmless({ Test: STRINGS, Timeout: INT, StartPeriod: INT, Retries: INT }),
  Interval: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    judge: aSecond,
    why: 'the engine starts a process for each check',
  },
  StartInterval: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    judge: aSecond,
    why: 'the engine starts a process for each check',
  },
})

/** The row of `User`, here and in an exec. */
export const USER = {
  shape: STRING,
  verdicts: reachesHost('confine'),
  force: unprivileged,
  why: 'nothing runs as root here; a name could be root in the image',
} as const

const CONFIG = {
  ...harmless({
    Hostname: STRING,
    Domainname: STRING,
    AttachStdin: BOOL,
    AttachStdout: BOOL,
    AttachStderr: BOOL,
    ExposedPorts: SET,
    Tty: BOOL,
    OpenStdin: BOOL,
    StdinOnce: BOOL,
    Env: STRINGS,
    Cmd: STRINGS,
    Healthcheck: HEALTHCHECK,
    ArgsEscaped: BOOL,
    Volumes: SET,
    WorkingDir: STRING,
    Entrypoint: STRINGS,
    NetworkDisabled: BOOL,
    OnBuild: STRINGS,
    StopSignal: STRING,
    Shell: STRINGS,
  }),
  User: USER,
  MacAddress: {
    shape: STRING,
    verdicts: reachesNeighbours('deny'),
    why: "it can pass for another container's",
    cure: 'Leave out --mac-address.',
  },
  Labels: LABELS,
  StopTimeout: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    judge: between(0n, LONGEST_STOP),
    why: 'the engine waits for as long',
  },
} satisfies Table

/** Without one the engine would start from nothing at all, and no rule about images could hold. */
const someImage: Force = (sent) => {
  if (text(sent) === '') throw malformed('no Image is named')
  return sent
}

export const CREATE: Body = {
  prefix: '',
  shape: struct({
    ...CONFIG,
    Image: {
      shape: STRING,
      verdicts: everywhere('confine'),
      force: someImage,
      names: (value) => [{ kind: 'image', name: text(value) }],
    },
    HostConfig: { shape: HOST_CONFIG, verdicts: everywhere('allow'), opens: true },
    NetworkingConfig: { shape: NETWORKING, verdicts: everywhere('allow'), opens: true },
  }),
}

/** What POST /commit takes: the config of the image to be. */
export const COMMIT: Body = {
  prefix: 'commit',
  optional: true,
  shape: struct({
    ...CONFIG,
    User: { shape: STRING, verdicts: everywhere('allow') },
    Image: { shape: STRING, verdicts: everywhere('allow') },
    Labels: { ...LABELS, add: () => new Map() },
  }),
}
