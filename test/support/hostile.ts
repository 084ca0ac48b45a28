/** Bodies that mean harm: JSON as an attacker writes it, for readers that do not read alike. */
import fc from 'fast-check'

/** A key as Go's decoder may still take it for the same field, in JSON; mostly as it should be. */
export const spelling = (name: string): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 60, arbitrary: fc.constant(JSON.stringify(name)) },
    fc.constant(JSON.stringify(name.toLowerCase())),
    fc.constant(JSON.stringify(name.toUpperCase())),
    fc.constant(JSON.stringify(name.replace(/s/i, '\u017f').replace(/k/i, '\u212a'))),
    // escaped: a spelling that any strict reader takes for the plain one
    fc.constant(`"\\u${name.charCodeAt(0).toString(16).padStart(4, '0')}${name.slice(1)}"`),
    fc.constant(JSON.stringify(`${name} `)),
    fc.constant(JSON.stringify(`${name}\u0000`)),
  )

/** JSON of one of these. */
export const oneOf = (...values: readonly unknown[]): fc.Arbitrary<string> =>
  fc.constantFrom(...values.map((value) => JSON.stringify(value)))

/** JSON of a list of some of these; `null` and `[]` among them. */
export const someOf = (...items: readonly unknown[]): fc.Arbitrary<string> =>
  fc.oneof(
    oneOf(null, []),
    fc.subarray([...items]).map((chosen) => JSON.stringify(chosen)),
  )

/** What fits no field, and what is no number for Go though it is one for JavaScript. */
const WRONG = fc.constantFrom(
  '1e3',
  '1.0',
  '-0',
  '01',
  '9223372036854775808',
  '1e400',
  '"\\ud800"',
  '"\\u0000"',
  '{"a":{}}',
  '[[]]',
  'true',
  '"x"',
  '[null]',
  'NaN',
  "'x'",
)

type Members = Readonly<Record<string, fc.Arbitrary<string>>>

/** An object of some of these members in any order: now and then one twice, or with a value that cannot be. */
export const objectOf = (members: Members, most = 5): fc.Arbitrary<string> => {
  const names = Object.keys(members)
  const member = (name: string): fc.Arbitrary<string> =>
    fc
      .tuple(spelling(name), fc.oneof({ weight: 60, arbitrary: members[name]! }, WRONG))
      .map((pair) => pair.join(':'))
  return fc
    .tuple(
      fc.shuffledSubarray(names, { minLength: 1, maxLength: Math.min(names.length, most) }),
      fc.oneof({ weight: 15, arbitrary: fc.constant([]) }, fc.subarray(names, { maxLength: 1 })),
    )
    .chain(([some, again]) => fc.tuple(...[...some, ...again].map(member)))
    .map((all) => `{${all.join(', ')}}`)
}

const nested = (depth: number): string => `${'{"a":['.repeat(depth)}${']}'.repeat(depth)}`

/** Members that no table knows. */
export const STRANGERS: fc.Arbitrary<string> = fc.constantFrom(
  '"x":1',
  '"x":1e400',
  '"x":123456789012345678901234567890',
  `"x":${nested(5)}`,
  `"x":${nested(200)}`,
  '"x":"\\ud83d\\ude00"',
  '"__proto__":{"Privileged":true}',
  '"constructor":{}',
  '"":{}',
)

/** A whole body as bytes: the text as it is, or with something before, behind or in it. */
export const onTheWire = (text: fc.Arbitrary<string>): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      text,
      fc.oneof(
        { weight: 12, arbitrary: fc.constant('') },
        fc.constantFrom('}', ']', '{}', ' null', ',', '}{"HostConfig":{"Privileged":true}}', '\0'),
      ),
      fc.oneof(
        { weight: 20, arbitrary: fc.constant('as it is') },
        fc.constantFrom('a BOM', 'bytes that are no UTF-8', 'a comment', 'no end', 'UTF-16'),
      ),
    )
    .map(([body, tail, how]) => mangled(body + tail, how))

const mangled = (text: string, how: string): Buffer => {
  const bytes = Buffer.from(text)
  if (how === 'a BOM') return Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes])
  if (how === 'no end') return bytes.subarray(0, -1)
  if (how === 'a comment') return Buffer.from(text.replace('{', '{/**/'))
  if (how === 'UTF-16') return Buffer.from(text, 'utf16le')
  if (how !== 'bytes that are no UTF-8') return bytes
  const at = text.indexOf('"') + 1
  return Buffer.concat([bytes.subarray(0, at), Buffer.from([0xc0, 0xff]), bytes.subarray(at)])
}
