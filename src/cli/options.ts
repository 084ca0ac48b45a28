/** Options that several of the operator's commands share, and how their texts are read. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { parseDuration } from './duration.ts'

/** An option's text as a duration in ms. */
export const duration = (text: string): number => {
  const ms = parseDuration(text)
  if (ms === undefined) throw new InvalidArgumentError('Write it as 90d, 12h, 30m or 45s.')
  return ms
}

const DIGITS = /^[0-9]+$/

/** An option's text as a whole number; how large it may be is said by the config that it becomes part of. */
export const wholeNumber = (text: string): number => {
  if (!DIGITS.test(text)) throw new InvalidArgumentError('Write a whole number, such as 4.')
  return Number(text)
}

/** An option that has a duration unless it is given. @param usual as people write it */
export const durationOption = (flags: string, description: string, usual: string): Option =>
  new Option(flags, description).argParser(duration).default(duration(usual), usual)

/** Where the flags of `records` were given. */
export interface RecordFlags {
  readonly config?: string
  readonly store?: string
  readonly state?: string
}

export const stateOption = (): Option =>
  new Option(
    '--state <dir>',
    'the folder of secrets, certificate authorities and the embedded store (BERTH_STATE; default /var/lib/berth)',
  )

export const storeOption = (): Option =>
  new Option(
    '--store <url>',
    'where the tenants are, if not in the state folder: lmdb:///DIR, redis://HOST, rediss://HOST, ... (BERTH_STORE)',
  )

export const configOption = (): Option =>
  new Option(
    '--config <file>',
    'berth.yaml (BERTH_CONFIG); flags and BERTH_* variables win over it',
  )

export const jsonOption = (): Option => new Option('--json', 'print JSON, for programs')

/** Adds the options that say where the records are. */
export const onRecords = (command: Command): Command =>
  command
    .addOption(configOption())
    .addOption(storeOption())
    .addOption(stateOption())
    .addOption(jsonOption())
