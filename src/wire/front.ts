/** The bytes that the heads of one connection begin with: compared where they are, they need not become text each time. */

export class Front {
  readonly #longest: number
  #memory: Buffer | undefined
  /** Of the whole lines that it is made of, CRLF included; 0 while there is none. */
  length = 0

  /** @param longest of the heads that it is looked for in, in bytes */
  constructor(longest: number) {
    this.#longest = longest
  }

  /** @param text latin1, ended by CRLF */
  set(text: string): void {
    // memory of its own: a slice of node's pool would keep 8 KB for as long as a connection lives
    if (this.#memory === undefined || this.#memory.length < text.length)
      this.#memory = Buffer.allocUnsafeSlow(text.length)
    this.length = this.#memory.write(text, 'latin1')
  }

  clear(): void {
    this.length = 0
  }

  /** True when `bytes[from, to)` begins with it, and does not end there. */
  leads(bytes: Buffer, from: number, to: number): boolean {
    const { length } = this
    const memory = this.#memory
    if (memory === undefined || length === 0) return false
    if (from + length >= to || to - from > this.#longest) return false
    return bytes.compare(memory, 0, length, from, from + length) === 0
  }
}
