/** A message put together in memory that is written over and over: text of its own for each would be most of its garbage. */
import { FIRST_BYTES, reusable, View } from './buffers.ts'

/** A body up to that is written in one piece with its head: the copy costs less than another system call. */
export const SHORT_BODY_BYTES = FIRST_BYTES - 1024
/** So many characters are written sooner than node is asked to write them. */
const A_FEW = 16

export class Draft {
  #memory = reusable(FIRST_BYTES)
  #length = 0
  /** The text that `#memory` begins with: messages begin alike, and what stands there need not be written again. */
  #front = ''
  readonly #made = new View()

  /** Begins the next message, with latin1 text. */
  begin(front: string): void {
    this.#length = 0
    if (front === this.#front) this.#length = front.length
    else {
      this.#front = ''
      this.add(front)
      this.#front = front
    }
  }

  /** Latin1 text. */
  add(text: string): void {
    this.#makeRoom(text.length)
    const memory = this.#memory
    const at = this.#length
    if (text.length > A_FEW) memory.write(text, at, 'latin1')
    else for (let i = 0; i < text.length; i++) memory[at + i] = text.charCodeAt(i)
    this.#length = at + text.length
  }

  addBytes(bytes: Uint8Array): void {
    this.#makeRoom(bytes.length)
    this.#memory.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** The message; good until the next one begins. */
  get bytes(): Buffer {
    return this.#made.of(this.#memory, 0, this.#length)
  }

  /** The message as text. */
  get text(): string {
    return this.#memory.toString('latin1', 0, this.#length)
  }

  /** Its memory is still needed: the next message gets other. */
  keep(): void {
    this.#memory = reusable(FIRST_BYTES)
    this.#length = 0
    this.#front = ''
  }

  /** Few messages need it; what one has needed stays for the next. */
  #makeRoom(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#memory.length) return
    const memory = reusable(2 * needed)
    memory.set(this.#memory.subarray(0, this.#length))
    this.#memory = memory
  }
}
