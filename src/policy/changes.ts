/** `changes` of a commit and an import: lines of a Dockerfile, which the engine itself expands. */
import type { Hearing } from './hearing.ts'
import { fold, shorten, text } from './json.ts'
import { isOwnLabel } from './labels.ts'
import type { Judge } from './table.ts'
import { refuse, send } from './values.ts'

/** The instructions that the engine takes there, by what may follow them. */
type Rest = (rest: string, hearing: Hearing) => string | undefined

const LINE = /^[ \t]*([A-Za-z]{1,16})[ \t]+(.+)$/
const CONTROL = /[^\P{Cc}\t]/u
/** An end that makes the next line one with this, so that it would be read as something else. */
const CONTINUED = /\\[ \t]*$/
const EXPANDS = /[$\\]/
const PORTS = /^\d{1,5}(?:\/(?:tcp|udp|sctp))?(?:[ \t]+\d{1,5}(?:\/(?:tcp|udp|sctp))?)*[ \t]*$/i
/** `key=value`, either of them in one pair of quotes; bare values are ASCII, as Go splits at spaces beyond it too. */
const PAIR =
  /[ \t]*(["']?)([A-Za-z0-9_][A-Za-z0-9_./-]*)\1=(?:"[^"$\\\p{Cc}]*"|'[^'$\\\p{Cc}]*'|[!#%&(-[\]-~]*)(?:[ \t]+|$)/guy

/** The engine keeps it as it is: shell form, JSON, or a line for later. */
const kept: Rest = (rest) => (CONTINUED.test(rest) ? 'it ends with a backslash' : undefined)

/** `$` is replaced by the engine, in its own memory: six lines of ten times the one before are gigabytes. */
const plain: Rest = (rest) =>
  EXPANDS.test(rest) ? 'here nothing is expanded: it may have no $ and no backslash' : undefined

/** A range is one word, and tens of thousands of ports for the engine to list. */
const ports: Rest = (rest) => (PORTS.test(rest) ? undefined : 'here it lists single ports only')

const keysOf = (rest: string): readonly string[] | undefined => {
  const pairs = [...rest.matchAll(PAIR)]
  const length = pairs.reduce((sum, [pair]) => sum + pair.length, 0)
  return length === rest.length ? pairs.map(([, , key = '']) => key) : undefined
}

const NO_PAIRS = 'here it has to be key=value or key="value", without $, backslash or other quotes'

const pairs: Rest = (rest) => (keysOf(rest) === undefined ? NO_PAIRS : undefined)

const labels: Rest = (rest, hearing) => {
  const keys = keysOf(rest)
  if (keys === undefined) return NO_PAIRS
  return keys.every((key) => isOwnLabel(key, hearing))
    ? undefined
    : 'it sets labels that berth alone sets'
}

/** What it holds back for a build to come is kept as well, and may not be such a label either. */
const onbuild: Rest = (rest, hearing) => {
  const [, name = '', later = ''] = LINE.exec(rest) ?? []
  return (
    kept(rest, hearing) ?? (name.toLowerCase() === 'label' ? labels(later, hearing) : undefined)
  )
}

const INSTRUCTIONS: ReadonlyMap<string, Rest> = new Map([
  ['cmd', kept],
  ['entrypoint', kept],
  ['env', pairs],
  ['expose', ports],
  ['healthcheck', kept],
  ['label', labels],
  ['onbuild', onbuild],
  ['user', plain],
  ['volume', plain],
  ['workdir', plain],
])

const badLine = (line: string, hearing: Hearing): string | undefined => {
  const [, name = '', rest = ''] = LINE.exec(line) ?? []
  const check = CONTROL.test(line) ? undefined : INSTRUCTIONS.get(name.toLowerCase())
  if (check === undefined)
    return `${JSON.stringify(shorten(line, 40))} is none of ${[...INSTRUCTIONS.keys()].join(', ').toUpperCase()}`
  const why = check(rest, hearing)
  return why === undefined ? undefined : `${name.toUpperCase()}: ${why}`
}

/** Who may break the engine may expand what he likes; whose labels are whose concerns others. */
const isRead = (line: string, { policy }: Hearing): boolean =>
  line !== '' && (policy.profile !== 'open' || fold(line).includes('label'))

/** One of them, or several, a line each: what BuildKit's parser reads in them is read here, and only what reads one way. */
export const change: Judge = (value, hearing) => {
  for (const line of text(value).split('\n')) {
    const why = isRead(line, hearing) ? badLine(line, hearing) : undefined
    if (why !== undefined) return refuse(why)
  }
  return send(value)
}
