/** Builds the C and Go programs of the bench with whatever compilers this machine has. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { NATIVE, SOURCES } from './places.ts'

interface Recipe {
  readonly sources: readonly string[]
  readonly compiler: 'gcc' | 'go'
  /** Tried in this order: the first that builds is used. */
  readonly flags: readonly (readonly string[])[]
}

const C = ['-O2', '-Wall', '-Wextra']

const RECIPES = {
  load: {
    sources: ['native/load.c', 'native/h2.h', 'native/wire.h'],
    compiler: 'gcc',
    // Without OpenSSL's headers it loads everything but TLS listeners
    flags: [[...C, '-DWITH_TLS', '-lssl', '-lcrypto'], C],
  },
  engine: {
    sources: ['native/engine.c', 'native/h2.h', 'native/wire.h'],
    compiler: 'gcc',
    flags: [C],
  },
  relay: { sources: ['contenders/relay.c'], compiler: 'gcc', flags: [C] },
  reverse: { sources: ['contenders/reverse.go'], compiler: 'go', flags: [[]] },
  'read-all': { sources: ['contenders/read-all.go'], compiler: 'go', flags: [[]] },
} as const satisfies Record<string, Recipe>

export type Native = keyof typeof RECIPES

const ageOf = (file: string): number => {
  try {
    return statSync(file).mtimeMs
  } catch {
    return 0
  }
}

const commandFor = (recipe: Recipe, flags: readonly string[], target: string): string[] => {
  const sources = recipe.sources
    .filter((source) => !source.endsWith('.h'))
    .map((source) => join(SOURCES, source))
  return recipe.compiler === 'go'
    ? ['build', '-o', target, ...sources]
    : ['-o', target, ...sources, ...flags]
}

/**
 * The path of a program, built first where it is older than its sources.
 * @throws Error with the compiler's words
 */
export const native = (name: Native): string => {
  const recipe: Recipe = RECIPES[name]
  const target = join(NATIVE, name)
  const built = ageOf(target)
  if (recipe.sources.every((source) => ageOf(join(SOURCES, source)) < built)) return target
  mkdirSync(NATIVE, { recursive: true })
  let problem: unknown
  for (const flags of recipe.flags)
    try {
      execFileSync(recipe.compiler, commandFor(recipe, flags, target), { stdio: 'pipe' })
      return target
    } catch (error) {
      problem = error
    }
  throw new Error(`${name} could not be built with ${recipe.compiler}`, { cause: problem })
}
