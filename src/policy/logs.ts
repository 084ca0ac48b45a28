/** Where a container's output is kept: in small files of the engine. */
import type { Hearing } from './hearing.ts'
import { isMap, type Json, text } from './json.ts'
import { bytesOf } from './limits.ts'
import type { Judge } from './table.ts'
import { refuse, send } from './values.ts'

const LOG_FLAGS = new Set(['compress', 'mode', 'tag'])
/** By which the engine writes labels and variables beside each line: one of a megabyte makes a megabyte of a newline. */
const COPIED = ['labels', 'labels-regex', 'env', 'env-regex']
/**
 * To the engine a tag is a program, which it runs itself at each start: text and plain fields are none. It stands
 * beside each line as well, and so is short.
 */
const TAG =
  /^[^{}]{0,64}(?:\{\{ ?\.(?:ID|FullID|Name|ImageID|ImageFullID|ImageName|DaemonName) ?\}\}[^{}]{0,64}){0,8}$/
/** Of messages that wait in the engine's own memory. */
const MAX_LOG_BUFFER = 4n << 20n

/** A driver that only writes files, with sizes always set: a container writes 285 MB of them in five seconds. */
export const logConfig = (sent: Json | undefined, hearing: Hearing): Json => {
  const { policy } = hearing
  const config = isMap(sent) ? sent : new Map<string, Json>()
  const type = text(config.get('Type')) || (policy.logDrivers[0] ?? 'json-file')
  const sentOptions = config.get('Config') ?? null
  const options = isMap(sentOptions) ? sentOptions : new Map<string, Json>()
  const copied = COPIED.filter((name) => options.has(name))
  if (copied.length > 0)
    hearing.findings.warnings.push(
      `HostConfig.LogConfig.Config: ${copied.join(', ')} was left out: the engine would write it beside each line`,
    )
  return new Map<string, Json>([
    ['Type', type],
    ['Config', type === 'none' ? new Map() : logOptions(options, policy)],
  ])
}

const logOptions = (options: ReadonlyMap<string, Json>, policy: Hearing['policy']): Json => {
  const limit = bytesOf(policy.logMaxSize) ?? 0n
  const size = bytesOf(text(options.get('max-size'))) ?? 0n
  const files = Number(text(options.get('max-file')) || Number.NaN)
  const kept = new Map<string, Json>()
  for (const [name, value] of options) if (LOG_FLAGS.has(name)) kept.set(name, value)
  const buffer = options.get('max-buffer-size')
  if (buffer !== undefined) {
    const wanted = bytesOf(text(buffer)) ?? MAX_LOG_BUFFER
    kept.set('max-buffer-size', wanted > MAX_LOG_BUFFER ? String(MAX_LOG_BUFFER) : buffer)
  }
  kept.set(
    'max-size',
    size > 0n && size <= limit ? (options.get('max-size') ?? '') : policy.logMaxSize,
  )
  kept.set(
    'max-file',
    files >= 1 && files <= policy.logMaxFiles ? String(files) : String(policy.logMaxFiles),
  )
  return kept
}

export const logDriver: Judge = (value, { policy }) => {
  const type = isMap(value) ? text(value.get('Type')) : ''
  if (type !== '' && !policy.logDrivers.includes(type))
    return refuse(
      `the engine itself would open what the driver ${type} names, from its own network and files`,
      `Use --log-driver ${policy.logDrivers.join(' or ')}.`,
    )
  const options = isMap(value) ? value.get('Config') : undefined
  return TAG.test(isMap(options) ? text(options.get('tag')) : '')
    ? send(value)
    : refuse(
        'its tag is a program that the engine itself would run',
        'Use text, {{.Name}}, {{.ID}} and {{.ImageName}} in --log-opt tag.',
      )
}
