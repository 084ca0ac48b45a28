/** One engine reached both ways, directly and through berth, and the claim that a user cannot tell which. */
import type { Test } from 'tap'
import { type DockerOptions, docker, type Host, type Ran } from '../../fixtures/docker.ts'
import { type Engine, type EngineOptions, startEngine } from '../../fixtures/engine.ts'
import { type Berth, startBerth } from './berth.ts'

export interface Pair {
  readonly engine: Engine
  readonly berth: Berth
}

/** An engine and a berth in front of it, as one is without configuration, for as long as the test runs. */
export const startPair = async (t: Test, options: EngineOptions = {}): Promise<Pair> => {
  const engine = await startEngine(options)
  t.teardown(() => engine.stop())
  const berth = await startBerth({ engine: engine.url })
  t.teardown(() => berth.stop())
  return { engine, berth }
}

/**
 * What a user does, and what he sees of it. It runs once a host, with a name of its own (of one length) for what it
 * makes, so that neither run finds the leavings of the other.
 */
export type Story = (host: Host, name: string) => Promise<unknown>

/** Ample for every story on a busy machine, and short enough to learn which one hangs. */
const STORY_TIMEOUT_MS = 120_000

/** Tells a story without berth and through it, and asserts that both end alike but for ids, times and names. */
export const alike = (t: Test, { engine, berth }: Pair, claim: string, story: Story) =>
  t.test(claim, { timeout: STORY_TIMEOUT_MS }, async (t) => {
    const without = await story(engine, 'without')
    const through = await story(berth, 'through')
    t.strictSame(steady(through), steady(without))
  })

/** A docker command that has to succeed: its output, or an error that says what it said. */
export const succeed = async (
  host: Host,
  args: readonly string[],
  options?: DockerOptions,
): Promise<string> => {
  const ran = await docker(host, args, options)
  if (ran.code !== 0) throw new Error(`docker ${args.join(' ')}: ${JSON.stringify(ran)}`)
  return ran.stdout
}

/** The result of a command whose lines come in no fixed order, as compose and BuildKit print them. */
export const sorted = ({ code, stdout, stderr }: Ran): Ran => ({
  code,
  stdout: sortLines(stdout),
  stderr: sortLines(stderr),
})

/** Text whose lines come in no fixed order. */
export const sortLines = (text: string): string => text.split('\n').toSorted().join('\n')

/** What differs between two runs of one command on one engine. */
const VARYING: readonly (readonly [RegExp, string])[] = [
  [/without|through/g, 'NAME'],
  [/\b[0-9a-f]{64}\b/g, 'ID'],
  [/\b[0-9a-f]{12}\b/g, 'ID'],
  [/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?([+-]\d\d:?\d\d|Z))?( UTC)?/g, 'TIME'],
  [/(About an?|Less than a|\d+) (second|minute)s?/g, 'A WHILE'],
  [/\b\d+(\.\d+)?(ms|s)\b/g, 'TIME'],
  [/\b(\d{1,3}\.){3}\d{1,3}\b/g, 'ADDRESS'],
  [/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, 'MAC'],
  // BuildKit stamps what a step prints with seconds since its start.
  [/^(#\d+ )?\d+\.\d{3} /gm, '$1TIME '],
  // The engine lists its runtimes in no fixed order.
  [/Runtimes: .*/g, 'Runtimes: SOME'],
  // Columns are as wide as what is in them.
  [/ {2,}/g, '  '],
  [/ +$/gm, ''],
]

const steady = (value: unknown): unknown => {
  if (typeof value === 'string') {
    return VARYING.reduce((text, [pattern, name]) => text.replace(pattern, name), value)
  }
  if (Array.isArray(value)) return value.map(steady)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, steady(inner)]))
}
