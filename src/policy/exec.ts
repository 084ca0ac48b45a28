/** The bodies of an exec: POST /containers/{id}/exec and POST /exec/{id}/start. */
import { USER } from './create.ts'
import {
  BOOL,
  type Body,
  harmless,
  INT,
  listOf,
  reachesHost,
  STRING,
  STRINGS,
  struct,
} from './table.ts'

export const EXEC_CREATE: Body = {
  prefix: 'exec',
  shape: struct({
    User: USER,
    Privileged: {
      shape: BOOL,
      verdicts: reachesHost('deny'),
      why: 'it gives the process every capability of the host',
      cure: 'Leave out --privileged.',
    },
    ...harmless({
      Tty: BOOL,
      ConsoleSize: listOf(INT),
      AttachStdin: BOOL,
      AttachStdout: BOOL,
      AttachStderr: BOOL,
      Detach: BOOL,
      DetachKeys: STRING,
      Env: STRINGS,
      WorkingDir: STRING,
      Cmd: STRINGS,
    }),
  }),
}

export const EXEC_START: Body = {
  prefix: 'exec',
  optional: true,
  shape: struct(harmless({ Detach: BOOL, Tty: BOOL, ConsoleSize: listOf(INT) })),
}
