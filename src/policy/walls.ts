/** What keeps a process inside its container: capabilities, security options, and not being root. */
import type { Hearing } from './hearing.ts'
import { type Json, text } from './json.ts'
import type { Judge } from './table.ts'
import { refuse, send } from './values.ts'

// === capabilities and security options ===

const LETTERS = /^[A-Za-z_]+$/
const PREFIX = /^CAP_/

/** A capability as Linux calls it, without `CAP_`; empty where it is no ASCII word: the engine upper-cases by Unicode. */
export const capabilityOf = (value: Json): string => {
  const name = text(value)
  return LETTERS.test(name) ? name.toUpperCase().replace(PREFIX, '') : ''
}

export const capability: Judge = (value, { policy }) => {
  const name = capabilityOf(value)
  const allowed = policy.onlyCapabilities ?? policy.capabilities
  if (allowed.includes(name)) return send(value)
  return refuse(
    name === ''
      ? 'it is no capability'
      : `${name} is not among the capabilities that containers may have here`,
    `Leave out --cap-add ${name} (compose: cap_add).`,
  )
}

/** The option before `=`, or before the deprecated `:`, as the engine splits it. */
export const securityOptionOf = (value: string): readonly [name: string, rest: string] => {
  const cut = value.includes('=') ? value.indexOf('=') : value.indexOf(':')
  return cut === -1 ? [value, ''] : [value.slice(0, cut), value.slice(cut + 1)]
}

const NO_NEW_PRIVILEGES = new Set([
  'no-new-privileges',
  'no-new-privileges=true',
  'no-new-privileges:true',
])

/** What engines do unless told otherwise, by them or by their own configuration. */
const ENGINE_DEFAULTS = new Set(
  ['apparmor docker-default', 'no-new-privileges false', 'seccomp builtin'].flatMap((option) =>
    ['=', ':'].map((sign) => option.replace(' ', sign)),
  ),
)

export const securityOption: Judge = (value, { policy }) => {
  const option = text(value)
  if (NO_NEW_PRIVILEGES.has(option) || policy.securityOptions.includes(option)) return send(value)
  const forced = forcedSecurityOptions(policy)
  if (forced.includes(option)) return send(value)
  const [name] = securityOptionOf(option)
  const isForced = forced.some((one) => securityOptionOf(one)[0] === name)
  if (ENGINE_DEFAULTS.has(option) && !isForced) return send(value)
  return refuse(
    `${name || 'this'} loosens the walls of the container`,
    `Leave out --security-opt ${name}.`,
  )
}

/**
 * Without those that ask for a default, and what they would have undone: the engine's own default stays, which its
 * configuration may have made stricter.
 */
export const withoutDefaults = (
  options: readonly string[],
  { securityOptions }: Hearing['policy'],
): readonly string[] => {
  const asDefault = (option: string): boolean =>
    ENGINE_DEFAULTS.has(option) && !securityOptions.includes(option)
  const last = new Map(options.map((option) => [securityOptionOf(option)[0], option]))
  return options.filter((option) => !asDefault(last.get(securityOptionOf(option)[0]) ?? option))
}

/** What the policy adds to every container; the engine lets the last one win. */
export const forcedSecurityOptions = (policy: Hearing['policy']): readonly string[] => [
  ...(policy.runAs === undefined ? [] : ['no-new-privileges=true']),
  ...(policy.seccomp === undefined ? [] : [`seccomp=${policy.seccomp}`]),
  ...(policy.apparmor === undefined ? [] : [`apparmor=${policy.apparmor}`]),
]

// === users ===

const NUMERIC_USER = /^([1-9]\d{0,9})(?::([1-9]\d{0,9}))?$/
const MAX_ID = 2_147_483_647

/**
 * The user to run as where root is forbidden: a name could be uid 0 in the image's own passwd. Without a group the
 * engine would take that of the passwd, with more of them from the image's own list, or else group 0.
 */
export const unprivileged = (sent: Json | undefined, { policy }: Hearing): Json | undefined => {
  if (policy.runAs === undefined) return sent
  const [, user = policy.runAs, group = user] = NUMERIC_USER.exec(text(sent)) ?? []
  const isTooHigh = Number(user) > MAX_ID || Number(group) > MAX_ID
  return isTooHigh ? `${policy.runAs}:${policy.runAs}` : `${user}:${group}`
}

const NUMERIC_GROUP = /^[1-9]\d{0,9}$/

export const group: Judge = (value, { policy }) =>
  policy.runAs === undefined || NUMERIC_GROUP.test(text(value))
    ? send(value)
    : refuse(
        'a group by name, or group 0, could be that of root',
        'Give --group-add a number above 0.',
      )
