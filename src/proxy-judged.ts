/** A request between policy, which judges what it says, and the engine, which is asked about what it names. */
import type { Rules } from './policy/body.ts'
import type { Plan } from './policy/decide.ts'
import type { Findings } from './policy/hearing.ts'
import { asksForOrigins } from './policy/images.ts'
import { judgeObject, leansOn } from './policy/objects.ts'
import type { Policy } from './policy/policy.ts'
import { type Engine, judgeImages, recheckImage } from './proxy-images.ts'
import type { Amend, BodyJudge, JudgePlan } from './relay/errand.ts'
import { lookUp } from './relay/look-up.ts'
import { prepare } from './relay/prepare.ts'

/**
 * Looks at the containers, networks and volumes that a request names, and at what those lean on in turn.
 * @throws Failure POLICY_DENIED
 */
export const judgeObjects = async (
  policy: Policy,
  { pool, version }: Engine,
  findings: Pick<Findings, 'references'>,
): Promise<void> => {
  if (policy.mode === 'audit') return
  const waiting = [...leansOn(findings)]
  for (const mention of waiting) {
    const { kind, name } = mention
    if (kind !== 'container' && kind !== 'network' && kind !== 'volume') continue
    const inspected = await lookUp(pool, version, kind, name)
    if (inspected !== undefined) waiting.push(...judgeObject(policy, mention, inspected))
  }
}

/** A plan whose body is judged. */
export type Judgeable = Extract<Plan, { readonly rules: Rules }>

/** One body, and what its judgement brings about. */
export class Judged {
  readonly #policy: Policy
  readonly #engine: Engine
  #findings: Findings | undefined
  #imageIds: ReadonlyMap<string, string> = new Map()

  constructor(policy: Policy, engine: Engine) {
    this.#policy = policy
    this.#engine = engine
  }

  /** What relay does with the body that `plan` speaks of. */
  planFor(plan: Judgeable): JudgePlan {
    const { cap, rules } = plan
    const begin = (onOutput: (bytes: Uint8Array) => void) => this.#begin(rules, onOutput)
    return { kind: 'judge', cap, mayStream: plan.kind === 'rewrite', begin }
  }

  #begin(rules: Rules, onOutput: (bytes: Uint8Array) => void): BodyJudge {
    const transform = rules.begin({ onOutput })
    return {
      write: (bytes) => transform.write(bytes),
      settle: () => this.#settle(transform.settle()),
      finish: () => void transform.finish(),
    }
  }

  async #settle(findings: Findings): Promise<void> {
    this.#findings = findings
    const { references, preparations } = findings
    if (references.length > 0) {
      await judgeObjects(this.#policy, this.#engine, findings)
      this.#imageIds = await judgeImages(this.#policy, this.#engine, references)
    }
    if (preparations.length === 0) return
    const { pool, version } = this.#engine
    await prepare(pool, version, this.#image, preparations)
  }

  /** The name of the image that a create is for. */
  get #image(): string | undefined {
    return this.#findings?.references.find(({ path }) => path === 'Image')?.name
  }

  /** Warnings go where docker shows them: into the engine's own answer to a create. */
  readonly amend: Amend = (status) => {
    if (status !== 201) return undefined
    const warnings = this.#findings?.warnings ?? []
    const image = asksForOrigins(this.#policy) ? this.#image : undefined
    if (warnings.length === 0 && image === undefined) return undefined
    return async (body) => {
      if (image !== undefined) await this.#recheck(body, image)
      return warnings.length > 0 ? withWarnings(body, warnings) : body
    }
  }

  async #recheck(body: Buffer, name: string): Promise<void> {
    const { Id } = JSON.parse(body.toString()) as { readonly Id: string }
    await recheckImage(this.#policy, this.#engine, Id, { name, id: this.#imageIds.get(name) })
  }
}

const withWarnings = (body: Buffer, warnings: readonly string[]): Buffer => {
  const answer = JSON.parse(body.toString()) as { Warnings?: string[] | null }
  return Buffer.from(
    JSON.stringify({ ...answer, Warnings: [...(answer.Warnings ?? []), ...warnings] }),
  )
}
