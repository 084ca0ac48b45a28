import { readdirSync, readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { judgeBody } from '../../src/policy/body.ts'
import { CREATE } from '../../src/policy/create.ts'
import { PROFILE_POLICIES } from '../../src/policy/effective.ts'
import type { Decision } from '../../src/policy/hearing.ts'
import { withTerms } from '../../src/policy/policy.ts'
import { createTransform } from '../../src/policy/transform.ts'

const FIXTURES = new URL('../../fixtures/create/', import.meta.url)
const encoder = new TextEncoder()
const decoder = new TextDecoder()

const dedicated = withTerms(PROFILE_POLICIES.dedicated, {
  memory: 1n << 30n,
  nanoCpus: 2_000_000_000n,
  pids: 256n,
  volume: 'berth-files',
  labels: new Map([['berth.tenant', 'one']]),
})
const { open } = PROFILE_POLICIES

const sent = (body: string | Uint8Array, policy = dedicated): string =>
  decoder.decode(
    judgeBody(policy, CREATE, typeof body === 'string' ? encoder.encode(body) : body).bytes,
  )

const failure = (body: string | Uint8Array, policy = dedicated): string => {
  try {
    return `passed as ${sent(body, policy)}`
  } catch (error) {
    return error instanceof Failure ? `${error.code} ${error.message}` : `no Failure: ${error}`
  }
}

const captures = readdirSync(FIXTURES).filter(
  (name) => name.startsWith('create-') && !/exec|network\.|network-|volume/.test(name),
)

interface Vector {
  readonly id: string
  readonly route: string
  readonly expect: string
  readonly body: string
}

/** Vectors whose only fault is a key that no table knows: it is dropped, so what the engine gets is harmless. */
const DROPPED = new Set(['j-fold-dotless', 'j-under', 'j-unknown', 'j-config-nested', 'j-proto'])
/** Keys of the table that the vectors take for unknown, or the other way about. */
const ALLOWED = new Set(['j-legacy-mac'])
/** Legal for the engine, but not in the one spelling that berth reads. */
const SPELLED_OTHERWISE = new Set(['j-case', 'j-esc-key'])

test('every body of the attack vectors gets what it deserves', async (t) => {
  const vectors: Vector[] = JSON.parse(readFileSync(new URL('vectors.json', FIXTURES), 'utf8'))
  for (const { id, route, expect, body } of vectors) {
    if (route !== 'container.create') continue
    const outcome = failure(Buffer.from(body, 'latin1'))
    const passed = outcome.startsWith('passed as ')
    if (DROPPED.has(id)) {
      t.ok(passed, id)
      t.notMatch(
        outcome,
        /rivileged":true|Frob|__proto__|"Image":"b"/,
        `${id}: nothing of it is sent`,
      )
    } else if (SPELLED_OTHERWISE.has(id)) {
      t.match(outcome, /MALFORMED_BODY|POLICY_DENIED/, id)
    } else {
      t.equal(
        passed,
        expect === 'forward-normalized' || ALLOWED.has(id),
        `${id}: ${outcome.slice(0, 90)}`,
      )
    }
  }
})

test('a captured body comes out the same however it is cut', async (t) => {
  for (const name of captures) {
    const body = readFileSync(new URL(name, FIXTURES))
    const whole = sent(body, open)
    const inPieces = (sizes: (at: number) => number): string => {
      let out = ''
      const transform = createTransform(open, CREATE, {
        onOutput: (bytes) => {
          out += decoder.decode(bytes)
        },
      })
      for (let at = 0; at < body.length; ) {
        const size = sizes(at)
        transform.write(body.subarray(at, at + size))
        at += size
      }
      transform.finish()
      return out
    }
    t.equal(
      inPieces(() => 1),
      whole,
      `${name} byte by byte`,
    )
    for (let cut = 1; cut < body.length; cut += 7) {
      const out = inPieces((at) => (at === 0 ? cut : body.length))
      if (out !== whole) t.equal(out, whole, `${name} cut at ${cut}`)
    }
  }
})

test('characters of several bytes survive every cut', async (t) => {
  const body = encoder.encode('{"Image":"a","Env":["é€😀=\\ud83d\\ude00","\\u00e9"]}')
  const whole = sent(body, open)
  t.equal(whole, '{"Env":["é€😀=😀","é"],"Image":"a"}')
  for (let cut = 1; cut < body.length; cut++) {
    let out = ''
    const transform = createTransform(open, CREATE, {
      onOutput: (bytes) => {
        out += decoder.decode(bytes)
      },
    })
    transform.write(body.subarray(0, cut))
    transform.write(body.subarray(cut))
    transform.finish()
    t.equal(out, whole, `cut at ${cut}`)
  }
})

test('what was sent once is sent the same again', async (t) => {
  for (const policy of [dedicated, open, { ...dedicated, onViolation: 'strip' as const }]) {
    for (const name of captures) {
      const first = failure(readFileSync(new URL(name, FIXTURES)), policy)
      if (!first.startsWith('passed as ')) continue
      const once = first.slice('passed as '.length)
      t.equal(sent(once, policy), once, `${name} under ${policy.name}, ${policy.onViolation}`)
    }
  }
})

test('a key twice is refused, in any case, fold or escape, in any depth', async (t) => {
  const twice = [
    '{"Image":"a","Image":"a"}',
    '{"Image":"a","\\u0049mage":"a"}',
    '{"Image":"a","image":"a"}',
    '{"Image":"a","Labels":{"x":"1","x":"1"}}',
    '{"Image":"a","Ho\u017ftConfig":{}}',
    '{"Image":"a","Networ\u212aingConfig":{}}',
    '{"Image":"a","HostConfig":{"Mounts":[{"Type":"tmpfs","TYPE":"bind"}]}}',
    '{"Image":"a","HostConfig":{"Mounts":[{"Type":"tmpfs","Type":"tmpfs"}]}}',
    '{"Image":"a","Frob":1,"frob":2}',
    '{"Image":"a","Frob":{"x":{"y":1,"y":2}}}',
    '{"Image":"a","Frob\u017f":1,"Frobs":2}',
  ]
  for (const body of twice) t.match(failure(body, open), /^MALFORMED_BODY/, body)
  t.match(sent('{"Image":"a","Labels":{"x":"1","X":"2"}}', open), /"x":"1","X":"2"/)
})

test('nothing but one strict JSON object is read', async (t) => {
  const bodies = {
    'a byte order mark': '\ufeff{"Image":"a"}',
    'trailing data': '{"Image":"a"}]',
    'a second document': '{"Image":"a"}{}',
    'an end too early': '{"Image":"a"',
    'an end within a string': '{"Image":"a',
    'half a surrogate pair': '{"Image":"a","Env":["\\ud800"]}',
    'the other half': '{"Image":"a","Env":["\\udc00x"]}',
    'half a pair in a name': '{"Image":"a","Labels":{"\\ud800":""}}',
    'a NUL': '{"Image":"a\\u0000"}',
    depth: `{"Image":"a","X":${'['.repeat(32)}${']'.repeat(32)}}`,
    'a number with a point': '{"Image":"a","HostConfig":{"Memory":1.0}}',
    'a number above 64 bits': '{"Image":"a","HostConfig":{"Memory":9223372036854775808}}',
    'an endless number': `{"Image":"a","X":${'1'.repeat(100)}}`,
    'an endless name': `{"Image":"a","${'x'.repeat(5000)}":1}`,
    'a number for a flag': '{"Image":"a","Tty":1}',
    'a string for a list': '{"Image":"a","Cmd":"sh"}',
    'a list for an object': '{"Image":"a","HostConfig":[]}',
    'no image': '{"HostConfig":{}}',
    nothing: '',
    'a number': '1 ',
    null: 'null ',
  }
  for (const [what, body] of Object.entries(bodies))
    t.match(failure(body, open), /^MALFORMED_BODY/, what)
  t.match(failure(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /not UTF-8/)
  const many = Array.from({ length: 10_001 }, (_, at) => `"k${at}":""`).join(',')
  t.match(failure(`{"Image":"a","Labels":{${many}}}`), /more than 10000 members/)
})

test('a type that is wrong is named by its path', async (t) => {
  t.match(
    failure('{"Image":"a","HostConfig":{"Mounts":[{},{"Target":5}]}}', open),
    /HostConfig\.Mounts\[1\]\.Target has to be a string/,
  )
})

test('numbers keep their text', async (t) => {
  const body =
    '{"Image":"a","HostConfig":{"Memory":9007199254740993,"NanoCpus":-0,"ShmSize":9223372036854775807}}'
  t.match(sent(body, open), '"Memory":9007199254740993,"NanoCpus":-0,"ShmSize":9223372036854775807')
})

test('the last brace waits for finish', async (t) => {
  let out = ''
  const transform = createTransform(open, CREATE, {
    onOutput: (bytes) => {
      out += decoder.decode(bytes)
    },
  })
  transform.write(encoder.encode(`{"Image":"a","Env":["${'x'.repeat(70_000)}"]}`))
  transform.settle()
  t.ok(out.length > 60_000, 'what is judged has left')
  t.throws(() => JSON.parse(out), 'but it is no document yet')
  transform.finish()
  t.equal(JSON.parse(out).Image, 'a')
})

test('after a refusal nothing comes out any more', async (t) => {
  let out = ''
  const transform = createTransform(dedicated, CREATE, {
    onOutput: (bytes) => {
      out += decoder.decode(bytes)
    },
  })
  const body = encoder.encode('{"HostConfig":{}}')
  t.throws(() => transform.write(body), { code: 'MALFORMED_BODY' })
  t.throws(() => transform.finish(), { code: 'MALFORMED_BODY' })
  t.throws(() => transform.write(body), { code: 'MALFORMED_BODY' })
  t.equal(out, '')
})

test('a value that has to be held has a limit, and what streams has none', async (t) => {
  const long = 'x'.repeat(600_000)
  t.match(
    failure(`{"Image":"a","HostConfig":{"Binds":["${long}"]}}`),
    /^BODY_TOO_LARGE.*HostConfig\.Binds/,
  )
  t.equal(sent(`{"Image":"a","Cmd":["${long}"]}`, open).length, long.length + 24)
})

test('so has a list, because it is judged in one go', async (t) => {
  const list = (key: string, count: number) =>
    `{"Image":"a","${key}":${JSON.stringify(Array(count).fill('A'))}}`
  const drops = (count: number) =>
    `{"Image":"a","HostConfig":{"CapDrop":${JSON.stringify(Array(count).fill('A'))}}}`
  t.equal(JSON.parse(sent(drops(4096), dedicated)).HostConfig.CapDrop.length, 4096)
  t.match(failure(drops(4097)), /^BODY_TOO_LARGE.*HostConfig\.CapDrop\[4096\]/)
  t.equal(JSON.parse(sent(list('Cmd', 9000), dedicated)).Cmd.length, 9000)
})

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

/** Bytes that are still held once all garbage is gone. */
const retained = (): number => {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

test('32 MB pass, and next to nothing of them is held', async (t) => {
  const fill = 'x'.repeat(65_500)
  const bodies = {
    'one long string': ['"Env":["', () => fill, '"]'],
    'many strings': ['"Env":["', () => `${fill}","`, '"]'],
    'labels, whose names are remembered': [
      '"Labels":{"":"',
      (at: number) => `","label ${at}":"${fill}`,
      '"}',
    ],
    'a key that is dropped': ['"Frob":["', () => `${fill}","`, '"]'],
  } as const
  for (const [what, [head, piece, tail]] of Object.entries(bodies)) {
    const transform = createTransform(dedicated, CREATE, { onOutput: () => {} })
    transform.write(encoder.encode(`{"Image":"a",${head}`))
    const before = retained()
    for (let at = 0; at < 512; at++) transform.write(encoder.encode(piece(at)))
    const held = retained() - before
    transform.write(encoder.encode(`${tail}}`))
    transform.finish()
    t.ok(held < 8 << 20, `${what}: ${held} bytes`)
  }
})

test('the listener hears of every key, and why', async (t) => {
  const heard = new Map<string, Decision>()
  const onDecision = (decision: Decision): void => {
    heard.set(decision.path, decision)
  }
  const body =
    '{"Image":"a","Cmd":["sh","-c","true"],"Frob":1,"Labels":{"a":"b","traefik.x":"y"},"HostConfig":{"Memory":9,"NetworkMode":"default","CpuCount":0}}'
  judgeBody(dedicated, CREATE, encoder.encode(body), { onDecision })
  t.match(heard.get('Cmd'), { verdict: 'allow', value: '["sh","-c","true"]', refused: false })
  t.match(heard.get('Frob'), { verdict: 'drop', sent: undefined, why: /not known/ })
  t.match(heard.get('Labels["traefik.x"]'), { verdict: 'drop' })
  t.match(heard.get('HostConfig.Memory'), { verdict: 'clamp', value: '9', sent: '9' })
  t.match(heard.get('HostConfig.PidsLimit'), { verdict: 'clamp', value: undefined, sent: '256' })
  t.match(heard.get('HostConfig.CpuCount'), { verdict: 'drop' })
  t.match(heard.get('HostConfig.NetworkMode'), { verdict: 'confine', sent: '"default"' })
})
