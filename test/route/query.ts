import fc from 'fast-check'
import { test } from 'tap'
import { Failure } from '../../src/errors.ts'
import { match } from '../../src/route/match.ts'
import { targetOf } from '../../src/route/target.ts'

/** The query that is sent on, decoded, or the refusal's message. */
const sent = (request: string): string => {
  const [method = '', target = ''] = request.split(' ')
  try {
    return decodeURIComponent(targetOf(match(method, target)).split('?')[1] ?? '')
  } catch (error) {
    if (error instanceof Failure && error.code === 'QUERY_NOT_ACCEPTED') return error.message
    throw error
  }
}
const list = (query: string): string => sent(`GET /v1.44/containers/json?${query}`)
const filters = (text: string): string => list(`filters=${encodeURIComponent(text)}`)

test('flags mean what they mean to the engine', async (t) => {
  for (const no of ['0', 'no', 'No', 'false', 'FALSE', 'none', '+none+', '%20']) {
    t.equal(list(`all=${no}`), 'all=0', no)
  }
  for (const yes of ['1', 'yes', 'true', 'True', 'off', 'null', 'x', '2']) {
    t.equal(list(`all=${yes}`), 'all=1', yes)
  }
  t.equal(list('all='), 'all=', 'an empty flag stays: some engines read their default from it')
  t.equal(list('all'), 'all=')
})

test('integers keep their text', async (t) => {
  for (const text of ['0', '-1', '007', '-999999999999999', '']) {
    t.equal(list(`limit=${text}`), `limit=${text}`)
  }
  for (const text of ['+1', '1e3', '1.0', '0x10', ' 1', '1_0', '1000000000000000', '١']) {
    t.match(list(`limit=${encodeURIComponent(text)}`), /must be a decimal integer/, text)
  }
})

test('text may hold anything but control characters, prose also line ends', async (t) => {
  t.equal(sent('POST /commit?container=a&comment=one%0Atwo%09'), 'container=a&comment=one\ntwo\t')
  t.match(sent('POST /commit?container=a%0A'), /"container" must be text/)
  t.match(sent('POST /commit?comment=a%00'), /"comment" must be text/)
  t.match(sent('POST /commit?comment=a%C2%85'), /"comment" must be text/)
  t.equal(sent('POST /images/create?fromSrc=-&message=%F0%9F%90%B3'), 'fromSrc=-&message=🐳')
})

test('escapes must be whole, and spell UTF-8 in its shortest form', async (t) => {
  for (const bad of ['%', '%4', '%zz', '%ff', '%c0%af', '%ed%a0%80', '%f5%80%80%80', '%u0041']) {
    t.match(sent(`POST /commit?repo=${bad}`), /escape/, bad)
    t.match(sent(`POST /commit?${bad}=1`), /escape/, bad)
  }
})

test('paths may not climb', async (t) => {
  const archive = (path: string) =>
    sent(`GET /containers/a/archive?path=${encodeURIComponent(path)}`)
  for (const path of ['/', '/a/..b', 'a...', '/a/./b', '/with space']) {
    t.equal(archive(path), `path=${path}`)
  }
  for (const path of ['..', '../a', '/a/..', '/a/../b']) t.match(archive(path), /".." segments/)
})

test('a key that may be repeated keeps its order, any other may come once', async (t) => {
  t.equal(sent('GET /images/get?names=b&names=a&names=b'), 'names=b&names=a&names=b')
  t.match(list('all=1&all=1'), /"all" is given twice/)
  const names = (count: number) => `GET /images/get?${Array(count).fill('names=a').join('&')}`
  t.equal(sent(names(1000)).length, 1000 * 'names=a&'.length - 1)
  t.match(sent(names(1001)), /more than 1000/)
})

test('what real clients send and no engine reads is dropped', async (t) => {
  // docker-py
  t.equal(list('limit=-1&all=0&size=0&trunc_cmd=0'), 'all=0&limit=-1&size=0')
  t.equal(sent('GET /images/json?only_ids=0&all=0'), 'all=0')
  t.equal(sent('POST /images/a/tag?tag=1&repo=b&force=0'), 'repo=b&tag=1')
  // dockerode
  t.equal(sent('POST /containers/a/attach?stream=true&hijack=true&stdin=true'), 'stdin=1&stream=1')
  t.equal(
    sent('POST /containers/create?Image=busybox&name=n&HostConfig=%7B%22Privileged%22%3Atrue%7D'),
    'name=n',
  )
  t.match(sent('POST /images/create?FromImage=evil'), /unknown parameter "FromImage"/)
  t.match(list('Image=busybox'), /unknown parameter "Image"/)
  t.match(list('__proto__=1&constructor=1'), /unknown parameter "__proto__"/)
})

test('filters come out as maps, sorted, whichever way they came in', async (t) => {
  t.equal(filters('{"label":["b","a"]}'), 'filters={"label":{"a":true,"b":true}}')
  t.equal(filters(' { "b":{"x":false}, "a":{} }'), 'filters={"a":{},"b":{"x":true}}')
  t.equal(filters('{"label":["a","a"]}'), 'filters={"label":{"a":true}}')
  t.equal(filters('{"label":null}'), 'filters={"label":{}}')
  t.equal(filters('{"label":null,"name":{"a":true}}'), 'filters={"label":{},"name":{"a":true}}')
  t.equal(filters('{"__proto__":["a"]}'), 'filters={"__proto__":{"a":true}}')
  t.equal(filters('{"l":["\\u0061\\/"]}'), 'filters={"l":{"a/":true}}')
  t.equal(filters('{}'), 'filters={}')
  t.equal(filters(''), 'filters=')
  t.equal(filters('null'), 'filters=null')
})

test('filters that two readers could read differently are refused', async (t) => {
  const bad = [
    '{"label":["a"],"name":{"b":true}}',
    '{"label":["a"],"label":["b"]}',
    '{"label":{"a":true,"\\u0061":true}}',
    '{"label":{"a":1}}',
    '{"label":{"a":null}}',
    '{"label":[1]}',
    '{"label":[["a"]]}',
    '{"label":"a"}',
    '{"label":["\\ud800"]}',
    '["label"]',
    '{"label":["a"]}}',
    '{"label":["a"]} x',
    "{'label':['a']}",
    '{"label":["a",]}',
    '{',
  ]
  for (const text of bad) t.match(filters(text), /must be a JSON object of filters/, text)
  t.match(
    filters('\uFEFF{"label":["a"]}'),
    /^filters=\uFEFF/,
    'an engine refuses a byte order mark',
  )
})

test('other JSON is checked and keeps its text', async (t) => {
  const build = (text: string) => sent(`POST /build?buildargs=${encodeURIComponent(text)}`)
  for (const text of [
    '{"A":"5","a":null}',
    '[1.0e5, -0]',
    'null',
    '',
    '{"a":{"b":1},"c":{"b":2}}',
  ]) {
    t.equal(build(text), `buildargs=${text}`)
  }
  for (const text of [
    '{"A":1,"A":2}',
    '[{"a":1,"a":1}]',
    '{"a":01}',
    `${'['.repeat(33)}${']'.repeat(33)}`,
  ]) {
    t.match(build(text), /must be JSON/, text)
  }
  t.match(build(`${'['.repeat(32)}${']'.repeat(32)}`), /^buildargs=/)
})

// === Properties ===

const word = fc
  .string({ unit: 'grapheme', maxLength: 6 })
  .map((text) => text.replace(/\p{Cs}/gu, ''))
const VALUES = {
  all: fc.oneof(word, fc.constantFrom('1', '0', 'false', ' no ', '')),
  limit: fc.oneof({ weight: 5, arbitrary: fc.integer().map(String) }, word),
  size: fc.constantFrom('True', 'False'),
  filters: fc.oneof(
    fc.dictionary(word, fc.array(word)).map((value) => JSON.stringify(value)),
    fc.dictionary(word, fc.dictionary(word, fc.boolean())).map((value) => JSON.stringify(value)),
    word,
  ),
  since: word,
}
const pair = fc.oneof(
  ...Object.entries(VALUES).map(([key, values]) =>
    values.map((value) => `${key}=${encodeURIComponent(value)}`),
  ),
)
const pairs = fc.uniqueArray(pair, { selector: (text) => text.split('=')[0], maxLength: 5 })

const attempt = (query: string) => {
  try {
    return match('GET', `/containers/json?${query}`)
  } catch {
    return undefined
  }
}

test('no filter is lost or added between the two notations', async () => {
  fc.assert(
    fc.property(fc.dictionary(word, fc.uniqueArray(word)), (lists) => {
      const maps = Object.entries(lists).map(([name, values]) => [
        name,
        Object.fromEntries(values.map((value) => [value, false])),
      ])
      const read = (value: object): [string, string[]][] =>
        Object.entries(value).map(([name, values]) => [
          name,
          (Array.isArray(values) ? values : Object.keys(values)).toSorted(),
        ])
      const wanted = JSON.stringify(read(lists).toSorted())
      return [lists, Object.fromEntries(maps)].every((value) => {
        const matched = attempt(`filters=${encodeURIComponent(JSON.stringify(value))}`)
        const emitted = matched?.query.get('filters')?.[0] ?? ''
        return JSON.stringify(read(JSON.parse(emitted)).toSorted()) === wanted
      })
    }),
  )
})

test('whoever parses the query that is sent on sees what was judged, each key once', async () => {
  fc.assert(
    fc.property(pairs, (list) => {
      const matched = attempt(list.join('&'))
      if (!matched) return true
      const emitted = targetOf(matched).split('?')[1] ?? ''
      const judged = [...matched.query].flatMap(([key, values]) => values.map((v) => [key, v]))
      return JSON.stringify([...new URLSearchParams(emitted)]) === JSON.stringify(judged)
    }),
  )
})

test('the order of the keys, and how they are escaped, changes nothing', async () => {
  const escaped = (text: string) =>
    text.replace(/[A-Za-z]/g, (char) => `%${char.charCodeAt(0).toString(16)}`)
  fc.assert(
    fc.property(pairs, (list) => {
      const emitted = [
        list,
        list.toReversed(),
        list.map((text) => (text.includes('%') ? text : text.split('=').map(escaped).join('='))),
        ['', ...list, ''],
      ].map((variant) => {
        const matched = attempt(variant.join('&'))
        return matched && targetOf(matched)
      })
      return new Set(emitted).size === 1
    }),
  )
})

test('a parameter more never changes what the others say', async () => {
  fc.assert(
    fc.property(pairs, fc.oneof(pair, word.map(encodeURI)), (list, more) => {
      const before = attempt(list.join('&'))
      const after = attempt([...list, more].join('&'))
      if (!before || !after) return true
      return [...before.query].every(
        ([key, values]) => String(after.query.get(key)) === String(values),
      )
    }),
  )
})
