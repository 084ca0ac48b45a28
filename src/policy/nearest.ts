/** Which of the words that there are was meant by one that is mistyped. */

/** Letters that may be wrong: one in three, and two at most. */
const mostWrong = (word: string): number => Math.min(2, Math.floor(word.length / 3))

/** How many letters have to be put in, left out or replaced (Levenshtein), upper and lower case being the same. */
const distance = (one: string, other: string): number => {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at)
  for (const [done, letter] of [...one].entries()) {
    const next = [done + 1]
    for (const [at, wanted] of [...other].entries())
      next.push(
        Math.min(
          (next[at] ?? 0) + 1,
          (row[at + 1] ?? 0) + 1,
          (row[at] ?? 0) + (letter === wanted ? 0 : 1),
        ),
      )
    row = next
  }
  return row[other.length] ?? 0
}

/** The one of `known` that is most like `word`; undefined where none is like it. */
export const nearest = (word: string, known: Iterable<string>): string | undefined => {
  let best: string | undefined
  let wrong = mostWrong(word) + 1
  for (const each of known) {
    const far = distance(word.toLowerCase(), each.toLowerCase())
    if (far < wrong) [best, wrong] = [each, far]
  }
  return best
}
