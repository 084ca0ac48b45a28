/** Whose turn it is to have a body judged: of each turn of the event loop a little, for all bodies of the process together. */
import { FairQueue } from './fair-queue.ts'

/** For how long bodies are judged before everything else has its turn. */
const TURN_MS = 2
/** Where nobody waits, that much of this time is judged at once: turns of the loop are not told apart there. */
const WINDOW_MS = 2 * TURN_MS

/** Somebody with something left to judge. */
export interface Judging {
  /** Judges until then, on the clock of `performance.now`; queues again where that was not enough. */
  judgeOn(until: number): void
}

export class Turns {
  readonly #waiting = new FairQueue<Judging>()
  #isRunning = false
  #isDue = false
  /** Since when, and for how long within that window, has been judged at once. */
  #since = 0
  #spent = 0
  #began = 0
  /** Until then all wait their turn. */
  #freeAt = 0

  /**
   * For a body that has just come: nearly all are small, come alone and go through without a queue.
   * @returns until when it may be judged now; `end` has to follow. 0 where it has to wait its turn
   */
  begin(): number {
    if (this.#isRunning || !this.#waiting.isEmpty) return 0
    const now = performance.now()
    if (now < this.#freeAt) return 0
    if (now - this.#since > WINDOW_MS) {
      this.#since = now
      this.#spent = 0
    }
    this.#began = now
    return now + TURN_MS
  }

  end(): void {
    const now = performance.now()
    this.#spent += now - this.#began
    if (this.#spent >= TURN_MS) this.#pause(now, this.#spent)
  }

  /** Half of the time is for others, also where a value that is judged in one go has taken longer than a turn. */
  #pause(now: number, spent: number): void {
    this.#freeAt = now + spent
    this.#since = 0
  }

  /** @param owner whose bodies, together, have one turn in each round */
  wait(owner: string, judging: Judging): void {
    this.#waiting.add(owner, judging)
    this.#call()
  }

  #call(): void {
    if (this.#isDue || this.#isRunning) return
    this.#isDue = true
    setImmediate(this.#run)
  }

  readonly #run = (): void => {
    this.#isDue = false
    this.#isRunning = true
    const began = performance.now()
    const until = began + TURN_MS
    try {
      do this.#waiting.next()?.judgeOn(until)
      while (!this.#waiting.isEmpty && performance.now() < until)
    } finally {
      this.#isRunning = false
      const now = performance.now()
      this.#pause(now, now - began)
      if (!this.#waiting.isEmpty) this.#call()
    }
  }
}

/** Of this process. */
export const TURNS = new Turns()
