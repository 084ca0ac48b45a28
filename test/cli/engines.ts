/** Engines as berth.yaml says them: with their certificates and keys, or with a sentence about what is wrong. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { namedEngines } from '../../src/cli/engines.ts'
import { readConfig } from '../../src/config/config.ts'
import type { Place } from '../../src/endpoint/endpoint.ts'
import { initAuthority, openAuthority } from '../../src/tenant/authority.ts'

const HOUR = 3_600_000

/** A folder with two certificates of one authority, and their keys; what is in the files, by name. */
const folder = async (t: Test) => {
  const path = t.testdir({})
  await initAuthority(path, Date.now())
  const authority = await openAuthority(path, Date.now)
  const [mine, other] = await Promise.all([
    authority.issueDialler(HOUR),
    authority.issueDialler(HOUR),
  ])
  const files = {
    ca: mine.ca,
    certificate: mine.certificate,
    key: mine.key,
    otherKey: other.key,
    prose: 'not a certificate\n',
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  return { path, files }
}

const engines = (yaml: string): ReadonlyMap<string, Place> =>
  namedEngines(
    readConfig({
      file: { name: 'berth.yaml', text: `listen: [tcp://127.0.0.1:0]\n${yaml}` },
      env: {},
      flags: {},
    }),
  )

test('an engine is an address, or an object with one', async (t) => {
  const { path, files } = await folder(t)
  const { ca, certificate, key } = files
  const named = engines(`
engine: unix:///run/docker.sock
endpoints:
  plain: { url: tcp://10.0.0.2:2375 }
  public: tls://engine.example.com:2376
  mine: { url: tls://10.0.0.3:2376, ca: ${path}/ca, certificate: ${path}/certificate, key: ${path}/key }
`)
  t.strictSame(Object.fromEntries(named), {
    default: { address: { kind: 'unix', path: '/run/docker.sock' } },
    plain: { address: { kind: 'tcp', host: '10.0.0.2', port: 2375 } },
    public: {
      address: {
        ...{ kind: 'tls', host: 'engine.example.com', port: 2376 },
        ...{ ca: undefined, certificate: undefined, key: undefined },
      },
    },
    mine: { address: { kind: 'tls', host: '10.0.0.3', port: 2376, ca, certificate, key } },
  })
})

test('a builder shares the certificates of its engine, unless it has its own', async (t) => {
  const { path, files } = await folder(t)
  const { ca } = files
  const named = engines(`
endpoints:
  plain: { url: tcp://10.0.0.2:2375, build: tcp://10.0.0.2:1234 }
  local: { url: unix:///run/docker.sock, build: unix:///run/buildkitd.sock }
  shared: { url: tls://e:2376, ca: ${path}/ca, build: tls://b:1234 }
  own: { url: tls://e:2376, ca: ${path}/ca, build: { url: tls://b:1234, certificate: ${path}/certificate, key: ${path}/key } }
`)
  const build = (name: string) => named.get(name)?.build
  t.strictSame(build('plain'), { kind: 'tcp', host: '10.0.0.2', port: 1234 })
  t.strictSame(build('local'), { kind: 'unix', path: '/run/buildkitd.sock' })
  t.match(build('shared'), { kind: 'tls', host: 'b', port: 1234, ca, speaks: 'h2' })
  t.match(build('own'), { kind: 'tls', ca: undefined, certificate: files.certificate })
})

test('what cannot be is refused at the start, by the name of its key', async (t) => {
  const { path } = await folder(t)
  const tls = 'url: tls://e:2376'
  const rows: readonly (readonly [yaml: string, says: RegExp])[] = [
    ['engine: 7', /berth\.yaml: engine: expected an address, or an object with its `url`/],
    ['engine: tls://e', /^engine: tls:\/\/e: expected unix:/],
    ['engine: unix:///a\nendpoints: { default: unix:///b }', /^endpoints\.default: .*leave one/],
    ['engine: { ca: /x }', /berth\.yaml: engine\.url: /],
    [`engine: { ${tls}, cert: /x }`, /berth\.yaml: engine: .*cert/],
    ['engine: { url: tcp://e:1, ca: /x }', /^engine\.ca: only tls:\/\/ addresses take one/],
    ['engine: { url: unix:///s, key: /x }', /^engine\.key: only tls:/],
    [`endpoints: { vm: { ${tls}, ca: /nowhere } }`, /^endpoints\.vm\.ca: ENOENT.*\/nowhere/],
    [
      `endpoints: { vm: { ${tls}, ca: ${path}/prose } }`,
      /^endpoints\.vm\.ca: .*prose holds no cer/,
    ],
    [
      `endpoints: { vm: { ${tls}, certificate: ${path}/certificate } }`,
      /^endpoints\.vm: certificate/,
    ],
    [`engine: { ${tls}, key: ${path}/key }`, /^engine: certificate and key go together/],
    [
      `engine: { ${tls}, certificate: ${path}/certificate, key: ${path}/prose }`,
      /^engine\.key: .*prose holds no private key/,
    ],
    [
      `engine: { ${tls}, certificate: ${path}/certificate, key: ${path}/otherKey }`,
      /^engine\.key: .*otherKey is not the key of .*certificate/,
    ],
    [`engine: { ${tls}, build: b:1 }`, /^engine\.build: b:1: expected unix:/],
    [
      'engine: { url: tcp://e:1, build: { url: tcp://b:1, ca: /x } }',
      /^engine\.build\.ca: only tls/,
    ],
    [`engine: { ${tls}, build: { url: tls://b:1, ca: /nowhere } }`, /^engine\.build\.ca: ENOENT/],
  ]
  for (const [yaml, says] of rows) t.throws(() => engines(yaml), { message: says }, yaml)
})
