/** JSON on its way out, in pieces; keeps a sample of a value that streams past, for whoever listens. */
import { shorten } from './json.ts'

/** Output leaves in pieces of about this many characters. */
const PIECE = 16 * 1024
const SAMPLE = 80

export class Output {
  readonly #onOutput: (bytes: Uint8Array) => void
  readonly #encoder = new TextEncoder()
  #text = ''
  #sample: string | undefined

  constructor(onOutput: (bytes: Uint8Array) => void) {
    this.#onOutput = onOutput
  }

  /** @param text must not end within a character */
  write(text: string): void {
    this.#text += text
    if (this.#sample !== undefined && this.#sample.length <= SAMPLE) this.#sample += text
    if (this.#text.length >= PIECE) this.flush()
  }

  flush(): void {
    if (this.#text === '') return
    const bytes = this.#encoder.encode(this.#text)
    this.#text = ''
    this.#onOutput(bytes)
  }

  /** What is written from here on is a value that will be asked for. */
  beginSample(): void {
    this.#sample = ''
  }

  endSample(): string {
    const sample = this.#sample ?? ''
    this.#sample = undefined
    return shorten(sample, SAMPLE)
  }
}
