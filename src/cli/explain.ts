/** `berth explain FILE`: what berth would do to the body of a create, key by key. */
import { readFileSync } from 'node:fs'
import { asFailure, type Failure } from '../errors.ts'
import { CREATE } from '../policy/create.ts'
import type { Decision } from '../policy/hearing.ts'
import type { Policy } from '../policy/policy.ts'
import { createTransform } from '../policy/transform.ts'
import type { Io } from './io.ts'
import { CommandError } from './io.ts'
import { type PolicyFlags, policyFor } from './policy.ts'

const STDIN = 0

interface Explained {
  readonly decisions: readonly Decision[]
  readonly sent: string
  readonly refusal: Failure | undefined
}

const explained = (policy: Policy, body: Uint8Array): Explained => {
  const decisions: Decision[] = []
  const output: Uint8Array[] = []
  const transform = createTransform(policy, CREATE, {
    onOutput: (bytes) => output.push(bytes),
    onDecision: (decision) => decisions.push(decision),
  })
  try {
    transform.write(body)
    transform.finish()
    return { decisions, sent: Buffer.concat(output).toString(), refusal: undefined }
  } catch (error) {
    return { decisions, sent: '', refusal: asFailure(error) }
  }
}

const read = (file: string): Buffer => {
  try {
    return readFileSync(file === '-' ? STDIN : file)
  } catch (error) {
    throw new CommandError(`${file}: ${(error as Error).message}`)
  }
}

/** @throws CommandError with exit code 1 when the body would be refused */
export const explain = async (io: Io, file: string, flags: PolicyFlags): Promise<void> => {
  const policy = await policyFor(io, flags)
  const { decisions, sent, refusal } = explained(policy, read(file))
  if (flags.json) {
    io.out(
      JSON.stringify(
        {
          policy: policy.name,
          refused: refusal?.message ?? null,
          decisions,
          sent: sent === '' ? null : JSON.parse(sent),
        },
        null,
        2,
      ),
    )
  } else {
    for (const { path, verdict, refused, value, sent: as, why } of decisions)
      io.out(
        [
          refused ? 'REFUSED' : verdict.padEnd(7),
          path,
          value === undefined ? '(not sent)' : value,
          `-> ${as ?? '(left out)'}`,
          why ?? '',
        ]
          .join('  ')
          .trimEnd(),
      )
    if (refusal === undefined) io.out(`allowed (policy '${policy.name}')`)
  }
  if (refusal !== undefined)
    throw new CommandError(refusal.message, { exitCode: 1, cause: refusal })
}
