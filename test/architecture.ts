/** Which part may know which: the table that the layout of src/ lives by, and proof that it bites. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'tap'

/** The way of a request. A stage may import types from the stages to its left, values from none. */
const STAGES = ['accept', 'tenant', 'route', 'policy', 'endpoint', 'relay']

/**
 * What a part may import from outside itself: other parts, or single files. `types` are for `import type` only; the
 * stages to the left come on top of it.
 */
const MAY_IMPORT: Readonly<
  Record<string, { values: readonly string[]; types?: readonly string[] }>
> = {
  'errors.ts': { values: [] },
  'exchange.ts': { values: [], types: ['errors.ts', 'wire', 'transport'] },
  config: { values: [] },
  observe: { values: [] },
  wire: { values: ['errors.ts'] },
  transport: { values: [] },
  store: { values: ['errors.ts'] },
  upstream: { values: ['errors.ts', 'wire', 'transport'] },
  accept: { values: ['errors.ts', 'wire', 'transport'], types: ['exchange.ts'] },
  tenant: { values: ['errors.ts', 'store'], types: ['exchange.ts', 'wire'] },
  route: { values: ['errors.ts'] },
  policy: { values: ['errors.ts'] },
  endpoint: { values: ['errors.ts', 'store'], types: ['upstream'] },
  relay: { values: ['errors.ts', 'wire', 'upstream', 'transport'], types: ['exchange.ts'] },
}

/** The files that put the parts together, and may know them all. */
const isComposer = (file: string): boolean => COMPOSER.test(file)
const COMPOSER = /^(?:main|proxy(?:-[a-z]+)?)\.ts$|^cli\//

/** No built-in module and no clock; named packages that are pure themselves are welcome. */
const PURE = ['wire', 'route', 'policy']
const CLOCK = /\b(?:Date\.now|new Date|performance\.now|set(?:Timeout|Interval|Immediate))\b/

/** Built-in modules that only some parts may use. */
const BUILTINS: Readonly<Record<string, RegExp>> = {
  'node:net': /^(?:accept|upstream|transport)\//,
  'node:tls': /^(?:accept|upstream|transport)\//,
  'node:http2': /^(?:accept|upstream|transport)\//,
  'node:http': /^(?!)/,
  'node:https': /^(?!)/,
  'node:process': /^main\.ts$/,
  'node:child_process': /^cli\/(?:private-engine|docker)\.ts$/,
}

const COMMENT = /\/\*[\s\S]*?\*\/|(?<![:'"`\\])\/\/.*/g
/** One sentence, or more of them in a comment of several lines. */
const PURPOSE = /^(?:#!.*\n)?\/\*\*\s+(?:\* )?(?:(?!\*\/)[\s\S])*?[.?:]\s(?:(?!\*\/)[\s\S])*\*\/\n/
const STATIC_IMPORT =
  /(?<![\w$.])(?:import|export)(?=[\s{*'"])(\s*type(?=[\s{*])(?!\s*(?:from\b|=)))?(?:[^'"`;()=]*?(?<=[\s}*])from)?\s*['"]([^'"]+)['"]/g
const DYNAMIC_IMPORT = /(?<![\w$.])(?:import|require|createRequire)\s*\(\s*([^)]*)\)/g

interface Import {
  readonly from: string
  readonly typeOnly: boolean
}

const importsOf = (code: string): Import[] => [
  ...[...code.matchAll(STATIC_IMPORT)].map(([, type, from = '']) => ({
    from,
    typeOnly: type !== undefined,
  })),
  // `typeof import('x')` needs no value of x; nothing here needs it, so it is judged like any other
  ...[...code.matchAll(DYNAMIC_IMPORT)].map(([, argument = '']) => ({
    from: /^['"]([^'"]+)['"]\s*$/.exec(argument)?.[1] ?? `(computed) ${argument}`,
    typeOnly: false,
  })),
]

const partOf = (path: string): string => path.split('/')[0] ?? path
const targetOf = (file: string, from: string): string => normalize(join(dirname(file), from))
const names = (list: readonly string[] | undefined, target: string): boolean =>
  list?.some((allowed) => allowed === target || allowed === partOf(target)) ?? false

/** Why `file` may not import this, or undefined. */
const objection = (file: string, { from, typeOnly }: Import): string | undefined => {
  if (from.startsWith('(computed)')) return 'an import must name what it imports'
  if (!from.startsWith('.')) return builtinObjection(file, from, typeOnly)
  const [part, target] = [partOf(file), targetOf(file, from)]
  if (target.startsWith('..')) return 'src imports nothing from outside src'
  const other = partOf(target)
  if (other === part || isComposer(file)) return undefined
  const row = MAY_IMPORT[part]
  if (row === undefined) return `the table of test/architecture.ts has no row for ${part}`
  if (names(row.values, target)) return undefined
  const isLeft = STAGES.indexOf(other) !== -1 && STAGES.indexOf(other) < STAGES.indexOf(part)
  if (names(row.types, target) || isLeft)
    return typeOnly ? undefined : `${part} may import types of ${other}, and values are not types`
  return `${part} may not know ${other}`
}

const isBuiltin = (from: string): boolean => from.startsWith('node:') || BARE_BUILTINS.test(from)
const BARE_BUILTINS =
  /^(?:net|tls|http2?|https|fs|path|process|child_process|os|crypto|events|stream)(?:\/|$)/

const builtinObjection = (file: string, from: string, typeOnly: boolean): string | undefined => {
  if (!isBuiltin(from) || typeOnly) return undefined
  if (!from.startsWith('node:')) return `write it as node:${from}`
  if (PURE.includes(partOf(file))) return `${partOf(file)} is pure: no built-in modules`
  return (BUILTINS[from]?.test(file) ?? true) ? undefined : `${from} has no business in ${file}`
}

const valueImportsOf = (file: string, code: string): string[] =>
  importsOf(code)
    .filter(({ from, typeOnly }) => from.startsWith('.') && !typeOnly)
    .map(({ from }) => targetOf(file, from))

/** The first circle of value imports, as the files on it. */
const findCycle = (codes: ReadonlyMap<string, string>): string[] | undefined => {
  const done = new Set<string>()
  const walk = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return undefined
    for (const next of valueImportsOf(file, codes.get(file) ?? '')) {
      const cycle = walk(next, [...path, file])
      if (cycle !== undefined) return cycle
    }
    done.add(file)
    return undefined
  }
  for (const file of codes.keys()) {
    const cycle = walk(file, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}

const fileObjections = (file: string, text: string, code: string): string[] => {
  const found = importsOf(code).flatMap((each) => objection(file, each) ?? [])
  if (!PURPOSE.test(text)) found.push('its first line is not one sentence of purpose')
  if (
    file !== 'main.ts' &&
    /(?<![\w$.])process\b(?=\s*[.[])|\bglobalThis\s*\.\s*process/.test(code)
  )
    found.push('only main.ts may touch process')
  if (PURE.includes(partOf(file)) && CLOCK.test(code)) found.push('it is pure: no clock')
  return found
}

/**
 * Everything in `files` that breaks a rule, as `file: why`.
 * @param files path below src -> text
 */
const violations = (files: Readonly<Record<string, string>>): string[] => {
  const codes = new Map(
    Object.entries(files).map(([file, text]) => [file, text.replace(COMMENT, '')]),
  )
  const found = Object.entries(files).flatMap(([file, text]) =>
    fileObjections(file, text, codes.get(file)!).map((why) => `${file}: ${why}`),
  )
  const cycle = findCycle(codes)
  return cycle === undefined ? found : [...found, `a circle: ${cycle.join(' -> ')}`]
}

const SRC = join(import.meta.dirname, '..', 'src')
const sources = (): Record<string, string> =>
  Object.fromEntries(
    readdirSync(SRC, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => [file, readFileSync(join(SRC, file), 'utf8')]),
  )

test('src keeps to its table', async (t) => {
  const files = sources()
  t.ok(Object.keys(files).length > 50, 'it is there')
  t.same(violations(files), [])
})

/** A line that breaks a rule, in the file where it does. */
const PLANTED: readonly (readonly [file: string, line: string, why: RegExp])[] = [
  ['wire/head.ts', "import { connect } from 'node:net'", /pure/],
  ['wire/head.ts', "import { gunzip } from 'node:zlib'", /pure/],
  ['wire/head.ts', "import net from 'net'", /node:net/],
  ['route/match.ts', "import{readFileSync}from'node:fs'", /pure/],
  ['wire/head.ts', "export { match } from '../route/match.ts'", /may not know route/],
  ['wire/head.ts', "export * from '../relay/pump.ts'", /may not know relay/],
  ['wire/head.ts', "export*from'../relay/pump.ts'", /may not know relay/],
  ['wire/head.ts', "import{a}from'../policy/judge.ts'", /may not know policy/],
  ['wire/head.ts', "import type { A } from '../policy/judge.ts'", /may not know policy/],
  ['wire/head.ts', "import '../observe/log.ts'", /may not know observe/],
  ['wire/head.ts', "const log = await import('../observe/log.ts')", /may not know observe/],
  ['wire/head.ts', 'const any = await import(name)', /must name/],
  ['wire/head.ts', 'const at = Date.now()', /clock/],
  ['policy/judge.ts', 'setTimeout(() => {}, 1)', /clock/],
  ['policy/judge.ts', "import { match } from '../route/match.ts'", /values are not types/],
  ['policy/judge.ts', "import {\n  type A,\n  b,\n} from '../route/match.ts'", /values are not/],
  ['policy/judge.ts', "import type { Store } from '../store/store.ts'", /may not know store/],
  ['relay/pump.ts', "import { match } from '../route/match.ts'", /values are not types/],
  ['relay/pump.ts', "import { open } from '../store/open.ts'", /may not know store/],
  ['relay/pump.ts', "import { exchanges } from '../observe/events.ts'", /may not know observe/],
  ['relay/pump.ts', "import { startBerth } from '../../test/support/berth.ts'", /outside src/],
  ['relay/pump.ts', "import { bench } from '../../bench/run.ts'", /outside src/],
  ['relay/pump.ts', "import { connect } from 'node:net'", /no business/],
  ['relay/pump.ts', "const tls = import('node:tls')", /no business/],
  ['relay/pump.ts', 'process.exit(1)', /process/],
  ['relay/pump.ts', "import process from 'node:process'", /no business/],
  ['tenant/key.ts', "import type { Errand } from '../relay/errand.ts'", /may not know relay/],
  ['tenant/key.ts', "import { adopt } from '../transport/adopt.ts'", /may not know transport/],
  ['accept/h1.ts', "import { Pool } from '../upstream/pool.ts'", /may not know upstream/],
  ['accept/h1.ts', "import type { Match } from '../route/match.ts'", /may not know route/],
  ['accept/h1.ts', "import { Proxy } from '../proxy.ts'", /may not know proxy/],
  ['upstream/pool.ts', "import { relay } from '../relay/relay.ts'", /may not know relay/],
  ['store/lmdb.ts', "import { Registry } from '../tenant/registry.ts'", /may not know tenant/],
  ['observe/log.ts', "import { Failure } from '../errors.ts'", /may not know errors/],
  ['transport/conduit.ts', "import { x } from '../wire/head.ts'", /may not know wire/],
  ['exchange.ts', "import { Failure } from './errors.ts'", /values are not types/],
  ['errors.ts', "import type { Exchange } from './exchange.ts'", /may not know exchange/],
  ['cli/up.ts', "import { spawn } from 'node:child_process'", /no business/],
  ['novelty/a.ts', "import { Failure } from '../errors.ts'", /no row for novelty/],
]

test('each kind of violation is seen', async (t) => {
  for (const [file, line, why] of PLANTED) {
    const text = `/** A planted file. */\n${line}\nexport const planted = 1\n`
    t.match(violations({ [file]: text }), [why], `${file}: ${line}`)
  }
  t.match(violations({ 'wire/a.ts': 'export const a = 1\n' }), [/purpose/])
  t.match(violations({ 'wire/a.ts': '/** no sentence */\nexport const a = 1\n' }), [/purpose/])
  const circle = {
    'wire/a.ts': "/** A. */\nimport { b } from './b.ts'\n",
    'wire/b.ts': "/** B. */\nexport { c } from './c.ts'\n",
    'wire/c.ts': "/** C. */\nimport{a}from'./a.ts'\n",
  }
  t.match(violations(circle), [
    /a circle: wire\/a\.ts -> wire\/b\.ts -> wire\/c\.ts -> wire\/a\.ts/,
  ])
})

test('what only looks like a violation is none', async (t) => {
  const lines: readonly (readonly [string, string])[] = [
    ['wire/head.ts', "// import { connect } from 'node:net'"],
    ['wire/head.ts', "/* process.exit() and Date.now()\n import '../observe/log.ts' */"],
    ['relay/pump.ts', "import type { Matched } from '../route/match.ts'"],
    ['relay/pump.ts', "import type { Socket } from 'node:net'"],
    ['relay/pump.ts', 'subprocess.kill(); this.process.end()'],
    ['route/route.ts', "import { z } from 'zod'"],
    [
      'proxy.ts',
      "import { relay } from './relay/relay.ts'\nimport { match } from './route/match.ts'",
    ],
    ['cli/up.ts', "import { Berth } from './berth.ts'\nimport { dial } from '../upstream/dial.ts'"],
  ]
  for (const [file, line] of lines)
    t.same(violations({ [file]: `/** A planted file. */\n${line}\n` }), [], `${file}: ${line}`)
  const types = {
    'wire/a.ts': "/** A. */\nimport type { B } from './b.ts'\nexport type A = B\n",
    'wire/b.ts': "/** B. */\nimport type { A } from './a.ts'\nexport type B = A\n",
  }
  t.same(violations(types), [], 'types may be mutual: nothing of them is loaded')
})
