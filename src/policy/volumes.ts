/** Volumes: the body of POST /volumes/create, and what berth puts on its own. */

import { LABELS } from './labels.ts'
import { type Body, harmless, reachesHost, STRING, STRING_MAP, struct } from './table.ts'
import { keysIn, oneOf } from './values.ts'

/** A limit of none, for the files of a tenant: engines prune no volume with options, whatever the filters of who asks. */
export const NEVER_PRUNED = { size: '0' } as const

/** The body of POST /volumes/create. */
export const VOLUME_CREATE: Body = {
  prefix: 'volume',
  optional: true,
  shape: struct({
    ...harmless({ Name: STRING }),
    Driver: {
      shape: STRING,
      verdicts: reachesHost('confine'),
      judge: oneOf('local'),
      why: 'it runs a plugin on the host',
      cure: 'Leave out --driver.',
    },
    DriverOpts: {
      shape: STRING_MAP,
      verdicts: reachesHost('confine'),
      judge: keysIn((name) => name === 'size', 'the options of a volume that may be set'),
      why: 'they mount what they like: directories, devices and shares of the host',
      cure: 'Leave out --opt type, o and device (compose: driver_opts).',
    },
    Labels: LABELS,
    ClusterVolumeSpec: {
      shape: struct({}),
      verdicts: reachesHost('drop'),
      why: 'there is no swarm here',
    },
  }),
}
