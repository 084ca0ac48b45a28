/** The names of things in paths: what they may be made of, which is less than the engine would take. */

import type { PathKind } from './route.ts'

/** Names and ids of everything but images and plugins: Docker's RestrictedNamePattern, at most 255 long. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/

/** `host:5000/some/image:tag@sha256:...`, at most 20 segments; the segment separator is in no segment: no backtracking. */
const REFERENCE = /^[A-Za-z0-9][\w.:@-]{0,254}(?:\/[A-Za-z0-9][\w.:@-]{0,254}){0,19}$/

const AT = /%40/g
const COLON = /%3a/gi

const REFERENCES: ReadonlySet<PathKind | undefined> = new Set(['image', 'plugin'] as const)

/** Whether what a path names here may span several segments. */
export const isReference = (kind: PathKind | undefined): boolean => REFERENCES.has(kind)

/** The name that a piece of a path spells, or undefined where it spells none. */
export const readName = (text: string): string | undefined => (NAME.test(text) ? text : undefined)

/** As `readName` for references; clients may escape `@` and `:`, and docker-py does. */
export const readReference = (text: string): string | undefined => {
  const name = text.includes('%') ? text.replace(AT, '@').replace(COLON, ':') : text
  return REFERENCE.test(name) ? name : undefined
}
