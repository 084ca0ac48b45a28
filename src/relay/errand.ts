/** What relay is to do, decided by the stages before it: values only, so that relay needs to know none of them. */
import type { RequestFieldClass } from '../wire/fields.ts'

/** What becomes of the request body. */
export type BodyPlan =
  /** No body goes to the engine; what the client sends is read and thrown away. */
  | { readonly kind: 'none' }
  /** The body passes through untouched, while it comes. */
  | { readonly kind: 'stream' }
  /** What the judge makes of the body is sent in its place. */
  | JudgePlan

export interface JudgePlan {
  readonly kind: 'judge'
  /** Whose body it is, among others that have to share: of the tenant and the engine together. */
  readonly owner: string
  /** The most bytes a client's body may have. */
  readonly cap: number
  /** May a long body leave while it is still coming? All but its end, which is the judge's to give. */
  readonly mayStream: boolean
  /** @param onOutput gets the bytes that the engine may see, in order */
  begin(onOutput: (bytes: Uint8Array) => void): BodyJudge
}

/** One body before its judge. Each method throws the Failure that refuses it. */
export interface BodyJudge {
  write(bytes: Uint8Array): void
  /** All bytes are in: decides, and makes ready what the request needs. */
  settle(): Promise<void>
  /** Lets the end of the body go. */
  finish(): void
}

/**
 * What becomes of the answer: undefined lets it pass; otherwise it is read whole and replaced. A Failure in its place
 * refuses what the engine has already done.
 */
export type Amend = (status: number) => ((body: Buffer) => Buffer | Promise<Buffer>) | undefined

/** Reads along while an answer passes. */
export interface Watch {
  /** Bytes of the body, lent for the call. */
  saw(data: Buffer): void
  /** All of it has passed but its end, which waits for this. */
  ended(): Promise<void>
}

/** The protocol a connection changes to, or none. `tcp` is docker's name for raw attach streams. */
export type Hijack = 'none' | 'tcp' | 'h2c' | 'websocket'

export interface Errand {
  readonly method: string
  /** Rebuilt from the matched route: no byte of it is the client's spelling. */
  readonly target: string
  readonly contentType: string | undefined
  /** Which classes of request fields go along, beside `any`. */
  readonly fieldClasses: ReadonlySet<RequestFieldClass>
  readonly hijack: Hijack
  readonly plan: BodyPlan
  readonly amend: Amend | undefined
  /** Who reads along with an answer that comes in chunks, by its status. */
  readonly watch: ((status: number) => Watch | undefined) | undefined
}
