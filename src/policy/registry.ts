/** The body of POST /auth: credentials that the engine tries at a registry. */

import { isRegistryAllowed } from './images.ts'
import { text } from './json.ts'
import {
  type Body,
  everywhere,
  harmless,
  type Judge,
  reachesNeighbours,
  STRING,
  struct,
} from './table.ts'
import { refuse, send } from './values.ts'

const server: Judge = (value, { policy }) =>
  isRegistryAllowed(policy, text(value))
    ? send(value)
    : refuse(
        'the engine would call a host of your choice',
        'Log in to a registry that is allowed here.',
      )

export const AUTH: Body = {
  prefix: 'auth',
  shape: struct({
    ...harmless({
      username: STRING,
      password: STRING,
      auth: STRING,
      email: STRING,
      identitytoken: STRING,
      registrytoken: STRING,
    }),
    serveraddress: {
      shape: STRING,
      verdicts: { ...reachesNeighbours('confine'), open: everywhere('allow').open },
      judge: server,
      why: 'the engine would call a host of your choice',
    },
  }),
}
