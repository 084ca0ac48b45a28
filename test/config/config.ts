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
  const rows: readonly (readonly [Partial<ConfigSources>, says: RegExp])[] = [
    [{ flags: {} }, /^listen: where\? say --listen tcp:.*BERTH_LISTEN/],
    [{ flags: {}, file: file('') }, /^y\.yaml: listen: where\?/],
    [{ flags: {}, file: file('listen: [a]\nprofil: x') }, /^y\.yaml: Unrecognized key: "profil"$/],
    [{ flags: { listen: ['a'], log: 'loud' } }, /^--log: /],
    [{ file: file('listen: [a]\nstate: 5'), flags: { state: undefined } }, /^y\.yaml: state: /],
    [{ file: file('listen: [a]\nstate: 5'), env: { BERTH_STATE: '' } }, /^y\.yaml: state: /],
    [{ env: { BERTH_LISTEN: 'a', BERTH_WORKERS: 'x' } }, /^BERTH_WORKERS: /],
    [
      { file: file('listen: [a]\nlimits: 5'), env: { BERTH_LIMITS_CONNECTIONS: '7' } },
      /^y\.yaml: limits: .*expected object/,
    ],
  ]
  for (const [sources, says] of rows)
    t.throws(() => readConfig({ env: {}, flags: {}, ...sources }), { message: says })
})

test('a variable that is empty is as one that is not set', async (t) => {
  const env = { BERTH_LISTEN: 'a', BERTH_DOMAIN: '', BERTH_STORE: '', BERTH_ANONYMOUS: '' }
  const file = { name: 'y.yaml', text: 'domain: [berth.test]' }
  t.match(readConfig({ env, file, flags: {} }), { domain: ['berth.test'], anonymous: false })
  t.same(readConfig({ env, flags: {} }).domain, [])
  t.equal(readConfig({ env, flags: {} }).store, undefined)
})
