/** A request between policy, which judges what it says, and the engine, which is asked about what it names. */
import { asFailure, Failure } from './errors.ts'
import { judgeBody, type Rules } from './policy/body.ts'
import { CREATE } from './policy/create.ts'
import type { Plan } from './policy/decide.ts'
import type { Findings, Mention } from './policy/hearing.ts'
import { asksForOrigins } from './policy/images.ts'
import { addObjects, judgeObject, leansOn } from './policy/objects.ts'
import type { Policy } from './policy/policy.ts'
import { judgeExposed } from './policy/ports.ts'
import { type Note, noteOrThrow } from './proxy-audit.ts'
import {
  containerOf,
  type Engine,
  judgeImages,
  type Made,
  recheckImage,
  removeMade,
} from './proxy-images.ts'
import type { Amend, BodyJudge, JudgePlan } from './relay/errand.ts'
import { lookUp } from './relay/look-up.ts'
import { type Create, prepare } from './relay/prepare.ts'

/**
 * Looks at the containers, networks and volumes that a request names, and at what those lean on in turn.
 * @throws Failure POLICY_DENIED
 */
export const judgeObjects = async (
  policy: Policy,
  engine: Engine,
  findings: Pick<Findings, 'references'>,
  note: Note | undefined,
): Promise<void> => {
  const { pool, version } = engine
  const objects = new Map<string, Mention>()
  const named = leansOn(findings)
  try {
    addObjects(policy, objects, named)
  } catch (error) {
    noteOrThrow(note, named[0]?.path ?? '', error)
  }
  // what is added on the way comes too
  for (const mention of objects.values()) {
    const { kind, name, path } = mention
    if (kind !== 'container' && kind !== 'network' && kind !== 'volume') continue
    if (engine.isGone) throw new Failure('MALFORMED_REQUEST', 'the client has gone')
    try {
      const inspected = await lookUp(pool, version, kind, name)
      if (inspected !== undefined)
        addObjects(policy, objects, judgeObject(policy, mention, inspected))
    } catch (error) {
      noteOrThrow(note, path, error)
    }
  }
}

/** A plan whose body is judged. */
export type Judgeable = Extract<Plan, { readonly rules: Rules }>

/** One body, and what its judgement brings about. */
export class Judged {
  readonly #policy: Policy
  readonly #engine: Engine
  readonly #note: Note | undefined
  readonly #inPath: readonly Mention[]
  #findings: Findings | undefined
  #imageIds: ReadonlyMap<string, string> = new Map()

  /**
   * @param note takes down what mode `audit` lets through
   * @param inPath what the request names beside its body
   */
  constructor(policy: Policy, engine: Engine, note: Note | undefined, inPath: readonly Mention[]) {
    this.#policy = policy
    this.#engine = engine
    this.#note = note
    this.#inPath = inPath
  }

  /** What relay does with the body that `plan` speaks of. */
  planFor(plan: Judgeable): JudgePlan {
    const { cap, rules } = plan
    const begin = (onOutput: (bytes: Uint8Array) => void) => this.#begin(rules, onOutput)
    return {
      kind: 'judge',
      owner: this.#engine.name,
      cap,
      mayStream: plan.kind === 'rewrite',
      begin,
    }
  }

  #begin(rules: Rules, onOutput: (bytes: Uint8Array) => void): BodyJudge {
    const note = this.#note
    const transform = rules.begin(
      note === undefined ? { onOutput } : { onOutput, onDecision: note },
    )
    return {
      write: (bytes) => transform.write(bytes),
      settle: () => this.#settle(transform.settle()),
      finish: () => void transform.finish(),
    }
  }

  async #settle(findings: Findings): Promise<void> {
    this.#findings = findings
    const { preparations } = findings
    const references = [...this.#inPath, ...findings.references]
    if (references.length > 0) {
      await judgeObjects(this.#policy, this.#engine, { references }, this.#note)
      this.#imageIds = await judgeImages(this.#policy, this.#engine, references, this.#note)
    }
    // what is only audited keeps its own paths, and needs none of what would have stood for them
    if (preparations.length === 0 || this.#note !== undefined) return
    const { pool, version } = this.#engine
    const image = this.#image
    const least = image === undefined ? undefined : leastOf(this.#policy, image)
    await prepare(pool, version, least, preparations)
    // that takes a while, in which a tag can move: nothing is made of one that has, as far as can be told
    this.#imageIds = await judgeImages(this.#policy, this.#engine, references, this.#note)
  }

  /** The name of the image that a create is for. */
  get #image(): string | undefined {
    return this.#findings?.references.find(({ path }) => path === 'Image')?.name
  }

  /** Warnings go where docker shows them: into the engine's own answer to a create. */
  readonly amend: Amend = (status) => {
    if (status !== 201 || this.#note !== undefined) return undefined
    const warnings = this.#findings?.warnings ?? []
    if (warnings.length === 0 && !this.#isRechecked) return undefined
    return async (body) => {
      if (this.#isRechecked) await this.#recheck(body)
      return warnings.length > 0 ? withWarnings(body, warnings) : body
    }
  }

  /** Does it publish what only its image says? */
  get #publishesAll(): boolean {
    const { references = [] } = this.#findings ?? {}
    return references.some(({ kind, verdict }) => kind === 'exposed' && verdict === 'confine')
  }

  get #isRechecked(): boolean {
    const asks = this.#image !== undefined && asksForOrigins(this.#policy)
    return asks || this.#publishesAll
  }

  /** A container that may not run, or cannot be told to, is removed before its sender hears of it. */
  async #recheck(body: Buffer): Promise<void> {
    const { Id } = JSON.parse(body.toString()) as { readonly Id: string }
    try {
      const made = await containerOf(this.#engine, Id)
      if (made !== undefined) await this.#judgeMade(made)
    } catch (error) {
      await removeMade(this.#engine, Id, asFailure(error))
      throw error
    }
  }

  async #judgeMade(made: Made): Promise<void> {
    const name = this.#image
    if (this.#publishesAll) judgeExposed(this.#policy, made)
    if (name === undefined || !asksForOrigins(this.#policy)) return
    const judged = { name, id: this.#imageIds.get(name) }
    await recheckImage(this.#policy, this.#engine, made, judged)
  }
}

/** A create of an image that asks for nothing, with all that the policy adds. */
const leastOf = (policy: Policy, Image: string): Create => {
  const { bytes } = judgeBody(policy, CREATE, new TextEncoder().encode(JSON.stringify({ Image })))
  return JSON.parse(new TextDecoder().decode(bytes))
}

const withWarnings = (body: Buffer, warnings: readonly string[]): Buffer => {
  const answer = JSON.parse(body.toString()) as { Warnings?: string[] | null }
  return Buffer.from(
    JSON.stringify({ ...answer, Warnings: [...(answer.Warnings ?? []), ...warnings] }),
  )
}
