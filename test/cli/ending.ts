/** What the shell learns from a command that failed. */
import { CommanderError } from 'commander'
import { test } from 'tap'
import { endingOf } from '../../src/cli/ending.ts'
import { CommandError } from '../../src/cli/io.ts'
import { ConfigError } from '../../src/config/config.ts'
import { Failure } from '../../src/errors.ts'

test('each kind of failure has its exit code', async (t) => {
  const cases: readonly (readonly [unknown, number, RegExp | undefined])[] = [
    [new CommanderError(0, 'commander.helpDisplayed', ''), 0, undefined],
    [new CommanderError(1, 'commander.unknownOption', 'error'), 2, undefined],
    [new CommandError('give --yes'), 2, /^give --yes$/],
    [new CommandError('as things are', { exitCode: 1 }), 1, /^as things are$/],
    [new ConfigError('listen: missing'), 2, /^listen: missing$/],
    [new Failure('NO_SUCH_TENANT', '"ann"'), 1, /^no such tenant: "ann"$/],
    [new Failure('TENANT_INVALID', 'the name'), 2, /^not a valid tenant: the name$/],
    [
      new Failure('STORE_UNAVAILABLE', 'not now', new Error('redis://a: READONLY')),
      1,
      /: not now: redis:\/\/a: READONLY \(nothing is changed/,
    ],
    [new Failure('STORE_UNAVAILABLE', 'x: full', new Error('full')), 1, /: x: full \(nothing/],
    [new Failure('STORE_UNAVAILABLE'), 1, /^the store cannot be reached \(.*--store/],
    [Object.assign(new Error('in use'), { syscall: 'listen' }), 2, /^in use$/],
  ]
  for (const [error, exitCode, says] of cases) {
    const ending = endingOf(error)
    t.equal(ending.exitCode, exitCode, String(error))
    if (says === undefined) t.equal(ending.says, undefined)
    else t.match(ending.says, says)
  }
})

test('a bug keeps its stack', async (t) => {
  const ending = endingOf(new TypeError('undefined is not a function'))
  t.equal(ending.exitCode, 70)
  t.match(ending.says, /TypeError: undefined is not a function\n\s+at /)
  t.equal(endingOf(new Failure('INTERNAL')).exitCode, 70)
})
