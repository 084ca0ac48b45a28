/** What a config is made of: which source wins, and what is said of a value that does not fit. */
import { test } from 'tap'
import { type ConfigSources, readConfig } from '../../src/config/config.ts'

test('defaults give way to the file, the file to variables, variables to flags', async (t) => {
  const all = {
    defaults: { listen: ['tcp://127.0.0.1:1'], profile: 'of a command', log: 'warn' },
    file: { name: 'berth.yaml', text: 'profile: of the file' },
    env: { BERTH_PROFILE: 'of a variable' },
    flags: { profile: 'of a flag' },
  }
  const weaker: readonly (readonly [ConfigSources, profile: string])[] = [
    [all, 'of a flag'],
    [{ ...all, flags: {} }, 'of a variable'],
    [{ ...all, flags: {}, env: {} }, 'of the file'],
    [{ defaults: all.defaults, flags: {}, env: {} }, 'of a command'],
    [{ flags: { listen: ['tcp://127.0.0.1:1'] }, env: {} }, 'dedicated'],
  ]
  for (const [sources, profile] of weaker) t.equal(readConfig(sources).profile, profile)
  t.equal(readConfig(all).log, 'warn')
})

test('what is wrong is said in the words of whoever wrote it', async (t) => {
  const file = (text: string) => ({ name: 'y.yaml', text })
  const rows: readonly (readonly [Omit<ConfigSources, 'env'>, says: RegExp])[] = [
    [{ flags: {} }, /^listen: where\? say --listen tcp:.*BERTH_LISTEN/],
    [{ flags: {}, file: file('') }, /^y\.yaml: listen: where\?/],
    [{ flags: {}, file: file('listen: [a]\nprofil: x') }, /^y\.yaml: Unrecognized key: "profil"$/],
    [{ flags: { listen: ['a'], log: 'loud' } }, /^--log: /],
  ]
  for (const [sources, says] of rows)
    t.throws(() => readConfig({ env: {}, ...sources }), { message: says })
})
