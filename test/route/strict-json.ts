import fc from 'fast-check'
import { test } from 'tap'
import { MAX_DEPTH, strictJson } from '../../src/route/strict-json.ts'

test('any JSON that is not ambiguous is read as it stands', async (t) => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5, stringUnit: 'grapheme' }), (text) => {
      const value = strictJson(text)
      return value === undefined
        ? /\\ud[89a-f]/i.test(text)
        : JSON.stringify(value) === JSON.stringify(JSON.parse(text))
    }),
  )
  t.equal(strictJson('null'), null)
  t.same(strictJson('{"a":"{\\"b\\":1,\\"b\\":2}","b":"]"}'), { a: '{"b":1,"b":2}', b: ']' })
})

test('a key twice in one object is refused at any depth, however it is escaped', async () => {
  const entries = fc.array(fc.tuple(fc.string(), fc.jsonValue()), { minLength: 1 })
  fc.assert(
    fc.property(entries, fc.nat(), fc.nat(MAX_DEPTH - 2), (members, place, depth) => {
      const key = members[place % members.length]![0]
      const again = key.split('').map(escaped).join('')
      const inner = [...members.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`)]
      inner.push(`"${again}" : 1`)
      return (
        strictJson(`${'[0,'.repeat(depth)}{${inner.join(',')}}${']'.repeat(depth)}`) === undefined
      )
    }),
  )
})

test('the same key in different objects is no repetition', async (t) => {
  t.same(strictJson('[{"a":{"a":[{"a":1},{"a":2}]}}]'), [{ a: { a: [{ a: 1 }, { a: 2 }] } }])
})

test('32 levels are read, 33 are not', async (t) => {
  const nested = (levels: number) => `${'[{"a":'.repeat(levels / 2)}1${'}]'.repeat(levels / 2)}`
  t.ok(strictJson(nested(32)))
  t.equal(strictJson(nested(34)), undefined)
  t.equal(strictJson(`[${nested(32)}]`), undefined)
})

test('what is no JSON is refused', async (t) => {
  for (const text of [
    '',
    '{',
    '{}}',
    '{} {}',
    '01',
    "{'a':1}",
    '[1,]',
    '\uFEFF{}',
    '"\u0001"',
    'NaN',
  ]) {
    t.equal(strictJson(text), undefined, text)
  }
})

test('half a surrogate pair is refused, in keys and in values', async (t) => {
  t.equal(strictJson('"\\ud800"'), undefined)
  t.equal(strictJson('{"\\udc00":1}'), undefined)
  t.equal(strictJson('"\\ud83d\\udc33"'), '🐳')
})

const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
