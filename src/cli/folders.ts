/** Where a user's files belong, by the XDG Base Directory Specification. */
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

/** Variable -> the folder below the user's own that it stands for. */
const USUAL = {
  XDG_CACHE_HOME: ['.cache'],
  XDG_CONFIG_HOME: ['.config'],
  XDG_STATE_HOME: ['.local', 'state'],
} as const satisfies Record<string, readonly string[]>

/** berth's folder in the one that `variable` names. An empty or relative path counts as none, as the specification says. */
export const userFolder = (
  env: Readonly<Record<string, string | undefined>>,
  variable: keyof typeof USUAL,
): string => {
  const named = env[variable] ?? ''
  return join(isAbsolute(named) ? named : join(homedir(), ...USUAL[variable]), 'berth')
}
