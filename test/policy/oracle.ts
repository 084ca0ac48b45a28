import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { judgeBody } from '../../src/policy/body.ts'
import { CREATE } from '../../src/policy/create.ts'
import { PROFILE_POLICIES } from '../../src/policy/effective.ts'
import { withTerms } from '../../src/policy/policy.ts'

const TERMS = { memory: 1n << 30n, nanoCpus: 2_000_000_000n, pids: 256n, volume: 'files' }
const POLICIES = [PROFILE_POLICIES.dedicated, PROFILE_POLICIES.shared].flatMap((policy) => [
  withTerms(policy, TERMS),
  { ...withTerms(policy, TERMS), onViolation: 'strip' as const },
])

// === what Go makes of a text ===

type Value = null | boolean | string | number | Value[] | { [key: string]: Value }
/** An object as it is written: every member, in order. */
type Members = [string, Written][]
type Written = null | boolean | string | number | Written[] | { members: Members }

/** A reader that, unlike JSON.parse, keeps members that stand there twice. */
const read = (text: string): Written => {
  let at = 0
  const blank = (): void => {
    while (/[ \t\r\n]/.test(text[at] ?? '')) at++
  }
  const string = (): string => {
    const start = at++
    while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
    return JSON.parse(text.slice(start, ++at))
  }
  const list = <Item>(close: string, item: () => Item): Item[] => {
    const items: Item[] = []
    at++
    for (blank(); text[at] !== close; blank()) {
      items.push(item())
      blank()
      if (text[at] === ',') at++
    }
    at++
    return items
  }
  const value = (): Written => {
    blank()
    if (text[at] === '"') return string()
    if (text[at] === '[') return list(']', value)
    if (text[at] === '{') {
      const members = list('}', (): [string, Written] => {
        blank()
        const name = string()
        blank()
        at++
        return [name, value()]
      })
      return { members }
    }
    const word = /^[^,\]}\s]+/.exec(text.slice(at))![0]
    at += word.length
    return JSON.parse(word)
  }
  return value()
}

/** As the regular expression flags iu fold, which is how Go folds. */
const sameField = (a: string, b: string): boolean => new RegExp(`^${a}$`, 'iu').test(b)

const MAPS = new Set([
  'Labels',
  'Sysctls',
  'Annotations',
  'EndpointsConfig',
  'Options',
  'Config',
  'Tmpfs',
])
const FIELDS = [
  'Image',
  'Cmd',
  'User',
  'Labels',
  'HostConfig',
  'NetworkingConfig',
  'EndpointsConfig',
  'Privileged',
  'PidMode',
  'IpcMode',
  'UTSMode',
  'UsernsMode',
  'NetworkMode',
  'CgroupParent',
  'CapAdd',
  'SecurityOpt',
  'Binds',
  'Mounts',
  'Devices',
  'Sysctls',
  'Annotations',
  'Runtime',
  'Memory',
  'MemorySwap',
  'PidsLimit',
  'NanoCpus',
  'MaskedPaths',
  'ReadonlyPaths',
  'LogConfig',
  'Type',
  'Source',
  'Target',
  'ReadOnly',
  'Config',
  'VolumeOptions',
  'DriverConfig',
  'Name',
  'Options',
  'NetworkID',
  'DeviceCgroupRules',
  'Tmpfs',
]

/** A field's value, decoded into what an earlier member of the same name has left there. */
const decode = (into: Value | undefined, written: Written, isMap: boolean): Value => {
  if (Array.isArray(written)) {
    const old = Array.isArray(into) ? into : []
    return written.map((item, index) => decode(old[index], item, false))
  }
  if (typeof written === 'object' && written !== null) return decodeObject(into, written, isMap)
  return written === null && typeof into === 'boolean' ? into : written
}

const decodeObject = (
  into: Value | undefined,
  written: { members: Members },
  isMap: boolean,
): Value => {
  const isObject = typeof into === 'object' && into !== null && !Array.isArray(into)
  const object: { [key: string]: Value } = isObject ? into : {}
  for (const [name, member] of written.members) {
    const field = isMap ? name : FIELDS.find((one) => sameField(one, name))
    if (field === undefined) continue
    object[field] = decode(isMap ? undefined : object[field], member, !isMap && MAPS.has(field))
  }
  return object
}

interface Mount {
  readonly Type?: string
  readonly Source?: string
  readonly VolumeOptions?: {
    readonly DriverConfig?: { readonly Name?: string; readonly Options?: object | null } | null
  } | null
}

interface Host {
  readonly [key: string]: unknown
  readonly Privileged?: boolean
  readonly CapAdd?: readonly string[] | null
  readonly SecurityOpt?: readonly string[] | null
  readonly Binds?: readonly string[] | null
  readonly Mounts?: readonly (Mount | null)[] | null
  readonly Sysctls?: object | null
  readonly Annotations?: object | null
  readonly LogConfig?: { readonly Type?: string; readonly Config?: Record<string, string> }
}

interface Created {
  readonly Labels?: object | null
  readonly HostConfig?: Host | null
  readonly NetworkingConfig?: {
    readonly EndpointsConfig?: Record<string, { readonly NetworkID?: string } | null> | null
  } | null
}

const view = (text: string): Created => decode(undefined, read(text), false) as Created

const keys = (object: object | null | undefined): string[] => Object.keys(object ?? {})
const isSet = (value: unknown): boolean => Array.isArray(value) && value.length > 0
const isWithin = (value: unknown, limit: number): boolean =>
  typeof value === 'number' && value > 0 && value <= limit

const isHostMount = (mount: Mount | null): boolean => {
  const driver = mount?.VolumeOptions?.DriverConfig
  return (
    !['volume', 'tmpfs', 'image'].includes(mount?.Type ?? '') ||
    /[/\\]/.test(mount?.Source ?? '') ||
    !['', 'local'].includes(driver?.Name ?? '') ||
    keys(driver?.Options).length > 0
  )
}

/** What no fenced tenant may ever have. */
const ESCAPES: Readonly<Record<string, (host: Host, body: Created) => boolean>> = {
  'keys at the top level': (_, body) =>
    keys(body).some((key) => !/^(Image|Cmd|User|Labels|HostConfig|NetworkingConfig)$/.test(key)),
  Privileged: (host) => host.Privileged === true,
  'namespaces of the host': (host) =>
    ['PidMode', 'IpcMode', 'UTSMode', 'UsernsMode', 'NetworkMode'].some(
      (key) => host[key] === 'host',
    ),
  CgroupParent: (host) => (host.CgroupParent ?? '') !== '',
  CapAdd: (host) => (host.CapAdd ?? []).some((name) => !/^(CAP_)?(CHOWN|KILL)$/i.test(name)),
  SecurityOpt: (host) => (host.SecurityOpt ?? []).some((option) => option !== 'no-new-privileges'),
  Binds: (host) => (host.Binds ?? []).some((bind) => !/^[a-z]+:\/[a-z]*$/.test(bind)),
  Mounts: (host) => (host.Mounts ?? []).some(isHostMount),
  Devices: (host) => isSet(host.Devices) || isSet(host.DeviceCgroupRules),
  Sysctls: (host) => keys(host.Sysctls).some((name) => !name.startsWith('net.')),
  Annotations: (host) => keys(host.Annotations).length > 0,
  Runtime: (host) => !['', 'runc'].includes(String(host.Runtime ?? '')),
  Memory: (host) => !isWithin(host.Memory, 2 ** 30) || host.MemorySwap !== host.Memory,
  PidsLimit: (host) => !isWithin(host.PidsLimit, 256),
  NanoCpus: (host) => !isWithin(host.NanoCpus, 2e9),
  'masked paths': (host) => (host.MaskedPaths ?? host.ReadonlyPaths ?? null) !== null,
  LogConfig: (host) =>
    host.LogConfig?.Type !== 'json-file' || host.LogConfig.Config?.['max-size'] !== '10m',
  networks: (_, body) =>
    Object.entries(body.NetworkingConfig?.EndpointsConfig ?? {}).some(
      ([name, endpoint]) => name === 'host' || (endpoint?.NetworkID ?? '') !== '',
    ),
  labels: (_, body) => keys(body.Labels).some((name) => /^(berth|traefik)\./i.test(name)),
}

const escapes = (body: Created): string[] =>
  Object.entries(ESCAPES).flatMap(([name, has]) => (has(body.HostConfig ?? {}, body) ? [name] : []))

// === bodies that mean harm ===

/** A key as an attacker may spell it, in JSON. */
const spelling = (name: string): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 100, arbitrary: fc.constant(JSON.stringify(name)) },
    fc.constant(JSON.stringify(name.toLowerCase())),
    fc.constant(JSON.stringify(name.replace(/s/i, '\u017f').replace(/k/i, '\u212a'))),
    fc.constant(`"\\u${name.charCodeAt(0).toString(16).padStart(4, '0')}${name.slice(1)}"`),
    fc.constant(JSON.stringify(`${name} `)),
  )

/** An object that has some of these members, in any order, and now and then one of them twice. */
const objectOf = (members: Record<string, fc.Arbitrary<string>>): fc.Arbitrary<string> => {
  const names = Object.keys(members)
  return fc
    .tuple(
      fc.shuffledSubarray(names, { maxLength: Math.min(names.length, 6) }),
      fc.oneof({ weight: 20, arbitrary: fc.constant([]) }, fc.subarray(names, { maxLength: 1 })),
    )
    .chain(([some, again]) =>
      fc.tuple(
        ...[...some, ...again].map((name) =>
          fc.tuple(spelling(name), members[name]!).map((pair) => pair.join(':')),
        ),
      ),
    )
    .map((all) => `{${all.join(', ')}}`)
}

const any = (...values: unknown[]): fc.Arbitrary<string> =>
  fc.constantFrom(...values.map((value) => JSON.stringify(value)))
const some = (...items: unknown[]): fc.Arbitrary<string> =>
  fc.oneof(
    any(null, []),
    fc.subarray(items).map((chosen) => JSON.stringify(chosen)),
  )
const mode = any('', 'host', 'container:x', 'HOST', null)
const size = fc.constantFrom('0', '-1', '9000000', '9007199254740993', '1e3', '99999999999', 'null')

const MOUNT = objectOf({
  Type: any('bind', 'volume', 'tmpfs', 'image', ''),
  Source: any('/', '/etc', '/home/x', 'v', '..', ''),
  Target: any('/t'),
  ReadOnly: any(true, false, null),
  VolumeOptions: objectOf({
    DriverConfig: objectOf({
      Name: any('', 'local', 'nfs'),
      Options: any({}, { device: '/' }, { o: '' }),
    }),
  }),
})

const HOST = objectOf({
  Privileged: any(true, false, null, 1),
  PidMode: mode,
  IpcMode: mode,
  UTSMode: mode,
  UsernsMode: mode,
  NetworkMode: mode,
  CgroupParent: any('', '/', '../x'),
  CapAdd: some('SYS_ADMIN', 'CAP_CHOWN', 'all', 'kill', '\u017fys_admin'),
  SecurityOpt: some('no-new-privileges', 'seccomp=unconfined', 'apparmor:unconfined'),
  Binds: some('/:/h', 'v:/x', '/var/run/docker.sock:/s', '../x:/y', 'C:\\x:/y', '/home/u:/z'),
  Mounts: fc.array(MOUNT, { maxLength: 2 }).map((all) => `[${all.join(',')}]`),
  Devices: any([], [{ PathOnHost: '/dev/sda' }], null),
  DeviceCgroupRules: some('b *:* rwm'),
  Sysctls: any({}, { 'net.x': '1' }, { 'kernel.core_pattern': '' }),
  Annotations: any({}, { a: '' }),
  Runtime: any('', 'runc', 'evil'),
  Memory: size,
  MemorySwap: size,
  PidsLimit: size,
  NanoCpus: size,
  MaskedPaths: any(null, [], ['/x']),
  ReadonlyPaths: any(null, []),
  LogConfig: any(null, { Type: 'syslog' }, { Type: '', Config: { 'max-size': '9g' } }),
  Frob: any(1, { Privileged: true }),
})

const BODY = objectOf({
  Image: any('a', 'a', 'a', ''),
  Cmd: any(['sh'], null, []),
  Labels: any({}, { a: 'b' }, { 'berth.x': '1' }, { 'Traefik.x': '1' }, null),
  HostConfig: HOST,
  NetworkingConfig: objectOf({
    EndpointsConfig: any({}, { host: {} }, { n: { NetworkID: 'abc' } }, null),
  }),
  Privileged: any(true),
  Binds: any(['/:/h']),
})

/** Mostly with an image, and now and then with more behind it. */
const TEXT = fc
  .tuple(
    BODY,
    fc.boolean(),
    fc.oneof({ weight: 9, arbitrary: fc.constant('') }, fc.constantFrom('}', ']', ' {}', ',')),
  )
  .map(([body, named, tail]) =>
    named ? `{"Image":"a",${body.slice(1)}${tail}`.replace(',}', '}') : body + tail,
  )

/** What berth makes of a body; undefined where it refuses it. */
const judged = (text: string, at: number): string | undefined => {
  try {
    const policy = POLICIES[at % POLICIES.length]!
    return new TextDecoder().decode(judgeBody(policy, CREATE, new TextEncoder().encode(text)).bytes)
  } catch (error) {
    if (error instanceof Failure) return undefined
    throw error
  }
}

const RUNS = { numRuns: 2000 }

test('nothing forbidden is in what is sent, as Go reads it', async (t) => {
  let accepted = 0
  fc.assert(
    fc.property(TEXT, fc.nat(3), (body, at) => {
      const out = judged(body, at)
      if (out === undefined) return
      accepted++
      const found = escapes(view(out))
      if (found.length > 0) throw new Error(`${found}: ${out}`)
    }),
    RUNS,
  )
  t.ok(accepted > 300, `${accepted} of them were accepted`)
})

test('the oracle finds what is forbidden when nobody judges', async (t) => {
  t.match(escapes(view('{"hostconfig":{"Privileged":true},"HostConfig":{}}')), ['Privileged'])
  t.match(
    escapes(view('{"HostConfig":{"Mounts":[{"Type":"bind"}]},"HO\u017fTCONFIG":{"mounts":[{}]}}')),
    ['Mounts'],
  )
})

test('whatever is inserted twice, in any spelling, is refused', async (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom('Image', 'HostConfig', 'Labels', 'NetworkingConfig'),
      fc.nat(3),
      (name, at) => {
        const rest = '"HostConfig":{"Memory":9000000},"Labels":{},"NetworkingConfig":{}'
        const value = name === 'Image' ? '"a"' : '{}'
        const folded = name.replace(/s/i, '\u017f').replace(/k/i, '\u212a')
        for (const again of [
          name,
          name.toUpperCase(),
          folded,
          `\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}`,
        ]) {
          if (judged(`{"Image":"a",${rest},"${again}":${value}}`, at) !== undefined) return false
        }
        return true
      },
    ),
    { numRuns: 50 },
  )
  t.pass()
})

test('what has been judged once is not changed by a second judgement', async (t) => {
  fc.assert(
    fc.property(TEXT, fc.nat(3), (body, at) => {
      const once = judged(body, at)
      return once === undefined || judged(once, at) === once
    }),
    RUNS,
  )
  t.pass()
})

// === the real decoder ===

const PROGRAM = `package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type mount struct {
	Type, Source, Target string
	ReadOnly             bool
	VolumeOptions        *struct {
		DriverConfig *struct {
			Name    string
			Options map[string]string
		}
	}
}

type create struct {
	Image, User string
	Cmd         []string
	Labels      map[string]string
	HostConfig  *struct {
		Privileged                                               bool
		PidMode, IpcMode, UTSMode, UsernsMode, NetworkMode       string
		CgroupParent, Runtime                                    string
		CapAdd, SecurityOpt, Binds, DeviceCgroupRules            []string
		Mounts                                                   []mount
		Devices                                                  []struct{ PathOnHost string }
		Sysctls, Annotations                                     map[string]string
		Memory, MemorySwap, NanoCpus                             int64
		PidsLimit                                                *int64
		MaskedPaths, ReadonlyPaths                               []string
		LogConfig                                                struct {
			Type   string
			Config map[string]string
		}
	}
	NetworkingConfig *struct {
		EndpointsConfig map[string]*struct{ NetworkID string }
	}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var body create
		if err := json.Unmarshal(lines.Bytes(), &body); err != nil {
			fmt.Println("null")
			continue
		}
		out, _ := json.Marshal(body)
		fmt.Println(string(out))
	}
}
`

const hasGo = spawnSync('go', ['version']).status === 0

test("nothing forbidden is in what is sent, by Go's own decoder", {
  skip: hasGo ? false : 'there is no go here',
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-oracle-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'main.go'), PROGRAM)
  const bodies = fc.sample(TEXT, 1000).flatMap((body, at) => judged(body, at) ?? [])
  const env = { ...process.env, GOCACHE: join(folder, 'cache'), GO111MODULE: 'off' }
  const run = spawnSync('go', ['run', 'main.go'], {
    cwd: folder,
    env,
    input: `${bodies.join('\n')}\n`,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })
  t.equal(run.status, 0, run.stderr)
  const views = run.stdout.trim().split('\n')
  t.equal(views.length, bodies.length)
  for (const [at, line] of views.entries()) {
    if (line === 'null') t.fail(`Go does not read ${bodies[at]}`)
    const found = escapes(JSON.parse(line))
    if (found.length > 0) t.fail(`${found}: ${bodies[at]}`)
  }
})
