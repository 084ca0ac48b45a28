/** What builds may ask for: methods by the table, entitlements by what a SolveRequest really says. */
import fc from 'fast-check'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { PROFILE_POLICIES } from '../../src/policy/effective.ts'
import {
  isNotGranted,
  readSolve,
  refuseAttributes,
  refuseEntitlements,
  solvesForEntitlements,
  treatmentOf,
} from '../../src/policy/grpc.ts'
import { readFields } from '../../src/policy/grpc-fields.ts'
import { withTerms } from '../../src/policy/policy.ts'

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))]
const text = (field: number, value: string): number[] => {
  const bytes = [...Buffer.from(value)]
  return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes]
}
const message = (...parts: readonly number[][]): Uint8Array => Uint8Array.from(parts.flat())

test('a build without entitlements is read for its ref and its sessions', async (t) => {
  const solve = readSolve(
    message(
      text(1, 'ref-1'),
      text(2, 'definition'),
      text(5, 'session-1'),
      [...varint(11 * 8), 1],
      [14 * 8, 0],
      text(15, 'session-2'),
    ),
  )
  t.same(solve, {
    ref: 'ref-1',
    sessions: ['session-1', 'session-2'],
    entitlements: [],
    attributes: new Map(),
  })
})

const attribute = (key: string, value: string): number[] => {
  const entry = [...text(1, key), ...text(2, value)]
  return [...varint(7 * 8 + 2), ...varint(entry.length), ...entry]
}

test('the options of a build are read, and refused as in the query of the classic builder', async (t) => {
  const { dedicated } = PROFILE_POLICIES
  const attributesOf = (...parts: number[][]) => readSolve(message(...parts)).attributes
  const long = 'x'.repeat(5000)
  const many = attributesOf(
    ...Array.from({ length: 400 }, (_, n) => attribute(`build-arg:${n}`, long)),
    attribute('target', 'prod'),
  )
  t.equal(many.size, 401)
  t.equal(many.get('build-arg:399'), long)
  t.doesNotThrow(() => refuseAttributes(dedicated, many))
  t.doesNotThrow(() => refuseAttributes(dedicated, attributesOf(attribute('cgroup-parent', ''))))
  for (const parts of [
    [attribute('cgroup-parent', '/free')],
    [attribute('cgroup-parent', ''), attribute('target', 'a'), attribute('cgroup-parent', '/free')],
  ])
    t.throws(() => refuseAttributes(dedicated, attributesOf(...parts)), {
      code: 'POLICY_DENIED',
      message: /build\.cgroupparent = "\/free".*--cgroup-parent/,
    })
  const own = withTerms(dedicated, { cgroupParent: '/tenant' })
  t.doesNotThrow(() => refuseAttributes(own, attributesOf(attribute('cgroup-parent', '/tenant'))))
  t.throws(() => attributesOf([...varint(7 * 8), 1]), { code: 'MALFORMED_BODY' })
})

test('every entitlement is refused by its name, wherever it stands', async (t) => {
  for (const name of ['network.host', 'security.insecure', 'device', 'device=vendor.com/gpu', 'x'])
    t.throws(
      () => refuseEntitlements(readSolve(message(text(9, name), text(1, 'ref'))).entitlements),
      { code: 'POLICY_DENIED', message: name.replace(/=.*/, '') },
      name,
    )
  const between = message(text(1, 'a'), text(9, 'network.host'), text(1, 'b'))
  t.throws(() => refuseEntitlements(readSolve(between).entitlements), { code: 'POLICY_DENIED' })
  t.doesNotThrow(() => refuseEntitlements([]))
})

test('what asks a builder for its grants asks for one each, and is a request like any other', async (t) => {
  const solves = solvesForEntitlements('ref').map(readSolve)
  t.strictSame(
    solves.map(({ entitlements }) => entitlements),
    [['network.host'], ['security.insecure'], ['device']],
  )
  t.equal(new Set(solves.map(({ ref }) => ref)).size, solves.length, 'each a build of its own')
  for (const { entitlements } of solves) t.throws(() => refuseEntitlements(entitlements))
  t.ok(
    isNotGranted('granting entitlement network.host is not allowed by build daemon configuration'),
  )
  for (const other of ['', 'transport is closing', 'no such job']) t.notOk(isNotGranted(other))
})

test('spellings that another decoder might read as field 9 are refused', async (t) => {
  const host = [...Buffer.from('network.host')]
  const tricks: Record<string, number[]> = {
    'a field number of 9 + 2^32, of which Go keeps the low half': [
      ...varint((9 + 2 ** 32) * 8 + 2),
      host.length,
      ...host,
    ],
    'an overlong tag': [(9 * 8 + 2) | 128, 0, host.length, ...host],
    'an overlong length': [9 * 8 + 2, host.length | 128, 0, ...host],
    'a group': [1 * 8 + 3, ...text(9, 'network.host'), 1 * 8 + 4],
    'field 0': text(0, 'x'),
    'a text field as a number': [9 * 8, 1],
    'a length beyond the end': [9 * 8 + 2, 100, 1],
    'text that is not UTF-8': [9 * 8 + 2, 1, 0xff],
  }
  for (const [name, bytes] of Object.entries(tricks))
    t.throws(() => readSolve(message(bytes)), { code: 'MALFORMED_BODY' }, name)
})

test('what is read is what was written, and nothing else is ever thrown', async (t) => {
  const field = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.string({ maxLength: 20 }))
  fc.assert(
    fc.property(fc.array(field, { maxLength: 20 }), (fields) => {
      const wanted = new Set([1, 5, 9])
      const found = readFields(message(...fields.map(([n, value]) => text(n, value))), wanted)
      for (const n of wanted)
        t.strictSame(
          [...(found.get(n) ?? [])],
          fields.filter(([each]) => each === n).map(([, value]) => value),
        )
    }),
    { numRuns: 50 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        readSolve(bytes)
      } catch (error) {
        if (!(error instanceof Failure)) throw error
      }
    }),
  )
})

test('a message of more fields than a build has is refused', async (t) => {
  const wanted = new Set([9])
  const many = (count: number, n: number) =>
    message(...Array.from({ length: count }, () => text(n, 'a')))
  t.equal(readFields(many(256, 9), wanted).get(9)?.length, 256)
  t.throws(() => readFields(many(257, 9), wanted), { code: 'MALFORMED_BODY' })
  t.equal(readFields(many(65_536, 8), wanted).size, 0)
  t.throws(() => readFields(many(65_537, 8), wanted), { code: 'MALFORMED_BODY' })
})

test('methods outside the table are refused, and named only if they look like one', async (t) => {
  t.equal(treatmentOf('/moby.buildkit.v1.Control/Solve'), 'solve')
  t.equal(treatmentOf('/moby.buildkit.v1.Control/Session'), 'session')
  t.equal(treatmentOf('/moby.buildkit.v1.Control/ListWorkers'), 'pass')
  t.throws(() => treatmentOf('/containerd.services.content.v1.Content/Write'), {
    code: 'POLICY_DENIED',
    message: 'containerd.services.content.v1.Content/Write',
  })
  for (const name of ['/', '/x', 'constructor', '/__proto__', '/moby.buildkit.v1.Control/solve'])
    t.throws(() => treatmentOf(name), { code: 'POLICY_DENIED' }, name)
})
