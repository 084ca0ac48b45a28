/** What strings may say that name modes, networks and patterns, and the small words that rules are made of. */
import type { Hearing, Reference } from './hearing.ts'
import { isMap, type Json, text } from './json.ts'
import type { Judge, Outcome } from './table.ts'

export const send = (value: Json): Outcome => ({ send: value })
export const refuse = (why: string, cure?: string): Outcome =>
  cure === undefined ? { refuse: why } : { refuse: why, cure }

/** Only these strings. */
export const oneOf =
  (...allowed: readonly string[]): Judge =>
  (value) =>
    allowed.includes(text(value))
      ? send(value)
      : refuse(`here it can only be ${list(allowed.filter((word) => word !== ''))}`)

const list = (words: readonly string[]): string =>
  words.length === 0 ? 'left empty' : words.map((word) => `'${word}'`).join(' or ')

/** Does a name match a pattern in which `*` stands for any characters? */
export const matches = (pattern: string, name: string): boolean => {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return name === pattern
  if (!name.startsWith(first)) return false
  let at = first.length
  for (const piece of rest) {
    const found = name.indexOf(piece, at)
    if (found === -1) return false
    at = found + piece.length
  }
  return name.length - last.length >= at && name.endsWith(last)
}

/** A map of which only some keys may be there. */
export const keysIn =
  (isAllowed: (key: string, hearing: Hearing) => boolean, what: string): Judge =>
  (value, hearing) => {
    const keys = isMap(value) ? [...value.keys()] : []
    const stranger = keys.find((key) => !isAllowed(key, hearing))
    return stranger === undefined ? send(value) : refuse(`${stranger} is not among ${what}`)
  }

// === namespaces ===

const CONTAINER = 'container:'

/** The container in `container:NAME`. */
export const containerIn = (value: Json): readonly Reference[] =>
  text(value).startsWith(CONTAINER)
    ? [{ kind: 'container', name: text(value).slice(CONTAINER.length) }]
    : []

/** One of these modes, or the namespace of another container. */
export const namespace =
  (...modes: readonly string[]): Judge =>
  (value) =>
    modes.includes(text(value)) || containerIn(value).length > 0
      ? send(value)
      : refuse(
          `here it can only be ${list([...modes.filter((mode) => mode !== ''), 'container:NAME'])}`,
        )

/** The network or container that a NetworkMode names. */
export const networkIn = (value: Json): readonly Reference[] => {
  const mode = text(value)
  const container = containerIn(value)
  if (container.length > 0) return container
  return mode === '' || mode === 'none' || mode === 'host' ? [] : [{ kind: 'network', name: mode }]
}

export const networkMode: Judge = (value) =>
  text(value) === 'host'
    ? refuse("it is the network of the engine's host, with all that listens there")
    : send(value)
