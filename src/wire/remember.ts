/** What was made of texts seen lately: heads repeat byte for byte, and the same one need not be read twice. */

/** A generation. Two are kept, so that what is in use stays when the other goes. */
const TEXTS = 512
/** Longer heads carry credentials of registries, and come once. */
const LONGEST = 1024

/** A part of a text keeps all of it in memory: what is remembered is a copy. */
export const unshared = (text: string): string => Buffer.from(text, 'latin1').toString('latin1')

/**
 * `read` with a memory: the same text gives the same object again.
 *
 * @param read pure, and its result never changed by anybody; what throws is not remembered
 */
export const remember = <T extends object>(read: (text: string) => T): ((text: string) => T) => {
  let young = new Map<string, T>()
  let old: ReadonlyMap<string, T> = young
  // the latest is compared with first: looking for a text in a map means hashing it
  let latest = ''
  let madeOfLatest: T | undefined
  return (text) => {
    if (text === latest && madeOfLatest !== undefined) return madeOfLatest
    const known = young.get(text)
    if (known !== undefined) {
      latest = text
      madeOfLatest = known
      return known
    }
    if (text.length > LONGEST) return read(text)
    const own = unshared(text)
    const made = old.get(text) ?? read(own)
    if (young.size >= TEXTS) {
      old = young
      young = new Map()
    }
    young.set(own, made)
    return made
  }
}
