/** Limits of one container: numbers brought within the plan, sizes, ulimits, sysctls and tmpfs options. */
import type { Hearing } from './hearing.ts'
import { integer, isMap, type Json, num, text } from './json.ts'
import type { Judge } from './table.ts'
import { matches, refuse, send } from './values.ts'

/** A limit of the plan, which also holds where nothing, 0 or -1 ("no limit") was sent. */
export const limited = (sent: Json | undefined, limit: bigint | undefined): Json | undefined => {
  if (limit === undefined) return sent
  const wanted = integer(sent)
  return wanted <= 0n || wanted > limit ? num(limit) : sent
}

/** At most the limit; nothing, 0 and less stay what they are. */
export const atMost = (value: Json, limit: bigint | undefined): Json =>
  limit === undefined || integer(value) <= limit ? value : num(limit)

export const atLeast =
  (limit: bigint): Judge =>
  (value) =>
    send(integer(value) < limit ? num(limit) : value)

export const between =
  (low: bigint, high: bigint): Judge =>
  (value) => {
    const wanted = integer(value)
    if (wanted < low) return send(num(low))
    return send(wanted > high ? num(high) : value)
  }

const SIZE = /^(\d{1,15})([bkmgt]?)b?$/i
const SCALE: Readonly<Record<string, bigint>> = {
  '': 1n,
  b: 1n,
  k: 1n << 10n,
  m: 1n << 20n,
  g: 1n << 30n,
  t: 1n << 40n,
}

/** Bytes of a size such as 10m, or undefined where it is none. */
export const bytesOf = (size: string): bigint | undefined => {
  const [, digits, unit = ''] = SIZE.exec(size) ?? []
  const scale = SCALE[unit.toLowerCase()]
  return digits === undefined || scale === undefined ? undefined : BigInt(digits) * scale
}

const LETTERS = /^[A-Za-z]+$/
/** Some readers take a slash for a dot. */
const SYSCTL = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+$/

export const sysctl = (name: string, { policy }: Hearing): boolean =>
  SYSCTL.test(name) && policy.sysctls.some((pattern) => matches(pattern, name))

/** Not rtprio, rttime and nice, by which a container takes the processor from the engine. */
const ULIMITS = new Set([
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nofile',
  'nproc',
  'rss',
  'sigpending',
  'stack',
])

/** The engine upper-cases the name by Unicode, by which other letters become these too. */
export const ulimit: Judge = (value) => {
  const name = isMap(value) ? text(value.get('Name')) : ''
  return ULIMITS.has(name.toLowerCase()) && LETTERS.test(name)
    ? send(value)
    : refuse(
        `${name || 'this'} is no limit that a container may set`,
        `Leave out --ulimit ${name}.`,
      )
}

const TMPFS_WORDS = new Set([
  '',
  'ro',
  'rw',
  'exec',
  'noexec',
  'suid',
  'nosuid',
  'dev',
  'nodev',
  'sync',
  'async',
  'atime',
  'noatime',
  'diratime',
  'nodiratime',
  'relatime',
  'norelatime',
  'strictatime',
])
const TMPFS_NUMBERS = /^(?:mode|uid|gid|nr_inodes)=[0-9]{1,10}$/

/** Mount options of one tmpfs; its size is brought down to the plan's memory. */
export const tmpfsOptions: Judge = (value, { policy }) => {
  const kept: string[] = []
  for (const option of text(value).split(',')) {
    if (option.startsWith('size=')) kept.push(tmpfsSize(option, policy.terms.memory))
    else if (TMPFS_WORDS.has(option) || TMPFS_NUMBERS.test(option)) kept.push(option)
    else return refuse(`${option} is no option of a tmpfs here`)
  }
  return send(kept.join(','))
}

const tmpfsSize = (option: string, memory: bigint | undefined): string => {
  const wanted = bytesOf(option.slice('size='.length))
  if (memory === undefined || (wanted !== undefined && wanted > 0n && wanted <= memory))
    return option
  return `size=${memory}`
}
