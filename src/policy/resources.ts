/** The limits of HostConfig, which `docker update` can change as well. */
import { integer, num } from './json.ts'
import { atMost, between, limited } from './limits.ts'
import {
  BOOL,
  type Force,
  harmless,
  INT,
  listOf,
  reachesHost,
  reachesNeighbours,
  STRING,
  struct,
  type Table,
} from './table.ts'

const memory: Force = (sent, { policy }) => limited(sent, policy.terms.memory)

/** No swap beside the memory: the engine would give as much again. */
const memorySwap: Force = (_sent, _hearing, sibling) => {
  const size = sibling('Memory')
  return integer(size) === 0n ? undefined : size
}

const reservation: Force = (sent, _hearing, sibling) => {
  const size = integer(sibling('Memory'))
  return sent === undefined || size === 0n ? sent : atMost(sent, size)
}

const DEFAULT_PERIOD = 100_000n
const BILLION = 1_000_000_000n

/** The engine takes either NanoCpus or a quota; where the plan limits them, the quota becomes NanoCpus. */
const nanoCpus: Force = (sent, { policy }, sibling) => {
  const limit = policy.terms.nanoCpus
  if (limit === undefined) return sent
  const quota = integer(sibling('CpuQuota'))
  const period = integer(sibling('CpuPeriod')) || DEFAULT_PERIOD
  return limited(quota > 0n ? num((quota * BILLION) / period) : sent, limit)
}

const quotaOrZero: Force = (sent, { policy }) =>
  policy.terms.nanoCpus === undefined || sent === undefined ? sent : num(0)

const pids: Force = (sent, { policy }) => limited(sent, policy.terms.pids)

const DEVICE_RATE = listOf(struct(harmless({ Path: STRING, Rate: INT })))
const DEVICE_WEIGHT = listOf(struct(harmless({ Path: STRING, Weight: INT })))

const deviceRow = (shape: typeof DEVICE_RATE, flag: string) => ({
  shape,
  verdicts: reachesHost('deny'),
  why: 'it names a device of the host, and the engine tells whether it is there',
  cure: `Leave out ${flag}.`,
})

/** What `docker update` can change as well. */
export const RESOURCES = {
  Memory: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    force: memory,
    why: 'it is limited by the plan',
  },
  MemorySwap: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    force: memorySwap,
    why: 'it is the same as Memory: there is no swap',
  },
  MemoryReservation: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    force: reservation,
    why: 'it cannot be more than Memory',
  },
  ...harmless({ MemorySwappiness: INT }),
  OomKillDisable: {
    shape: BOOL,
    verdicts: reachesHost('deny'),
    why: 'a container out of memory would hang for ever, and the host with it',
    cure: 'Leave out --oom-kill-disable.',
  },
  NanoCpus: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    force: nanoCpus,
    why: 'it is limited by the plan',
  },
  CpuPeriod: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    force: quotaOrZero,
    why: 'the plan limits NanoCpus, which takes its place',
  },
  CpuQuota: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    force: quotaOrZero,
    why: 'the plan limits NanoCpus, which takes its place',
  },
  CpuShares: {
    shape: INT,
    verdicts: reachesNeighbours('clamp'),
    judge: between(2n, 1024n),
    why: 'more would be taken from others',
  },
  CpuRealtimePeriod: {
    shape: INT,
    verdicts: reachesHost('deny'),
    why: 'real-time scheduling starves the engine',
    cure: 'Leave out --cpu-rt-period.',
  },
  CpuRealtimeRuntime: {
    shape: INT,
    verdicts: reachesHost('deny'),
    why: 'real-time scheduling starves the engine',
    cure: 'Leave out --cpu-rt-runtime.',
  },
  CpusetCpus: {
    shape: STRING,
    verdicts: reachesNeighbours('deny'),
    why: 'it can pin itself to the processors of others',
    cure: 'Leave out --cpuset-cpus and use --cpus.',
  },
  CpusetMems: {
    shape: STRING,
    verdicts: reachesNeighbours('deny'),
    why: 'it can pin itself to the memory of others',
    cure: 'Leave out --cpuset-mems.',
  },
  PidsLimit: {
    shape: INT,
    verdicts: reachesHost('clamp'),
    force: pids,
    why: 'it is limited by the plan',
  },
  BlkioWeight: {
    shape: INT,
    verdicts: reachesNeighbours('clamp'),
    judge: between(10n, 500n),
    why: 'more would be taken from others',
  },
  BlkioWeightDevice: deviceRow(DEVICE_WEIGHT, '--blkio-weight-device'),
  BlkioDeviceReadBps: deviceRow(DEVICE_RATE, '--device-read-bps'),
  BlkioDeviceWriteBps: deviceRow(DEVICE_RATE, '--device-write-bps'),
  BlkioDeviceReadIOps: deviceRow(DEVICE_RATE, '--device-read-iops'),
  BlkioDeviceWriteIOps: deviceRow(DEVICE_RATE, '--device-write-iops'),
  ...harmless({
    RestartPolicy: struct(harmless({ Name: STRING, MaximumRetryCount: INT })),
  }),
} satisfies Table
