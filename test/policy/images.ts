import { test } from 'tap'
import { definePolicies } from '../../src/policy/effective.ts'
import { judgeImage, parseImage } from '../../src/policy/images.ts'
import { matches } from '../../src/policy/values.ts'

const policyOf = (options: object) => definePolicies({ mine: options }).mine!

test('a reference is completed as docker completes it', async (t) => {
  const whole = (reference: string): string => {
    const { registry, repository, version } = parseImage(reference)
    return `${registry}/${repository}${version}`
  }
  t.equal(whole('redis'), 'docker.io/library/redis:latest')
  t.equal(whole('a/b:1'), 'docker.io/a/b:1')
  t.equal(whole('localhost/a'), 'localhost/a:latest')
  t.equal(whole('r.io:5000/a/b'), 'r.io:5000/a/b:latest')
  t.equal(whole('index.docker.io/x/y'), 'docker.io/x/y:latest')
  t.equal(whole('a@sha256:00'), 'docker.io/library/a@sha256:00')
  t.equal(whole('Evil/a'), 'Evil/a:latest', 'a first part in capitals is a host')
})

test('an image runs by where it came from, whatever it is called', async (t) => {
  const narrow = policyOf({ images: ['docker.io/library/*'], localImages: false })
  const hub = { kind: 'pulled', from: 'docker.io/library/redis:7' } as const
  const evil = { kind: 'pulled', from: 'evil.example.com/redis:7' } as const
  const local = { kind: 'local' } as const
  t.match(judgeImage(narrow, 'redis', [hub]), { allowed: true })
  t.match(judgeImage(narrow, 'redis', [local, hub]), { allowed: true })
  t.match(judgeImage(narrow, 'redis', [evil]), { allowed: false, why: /evil\.example\.com/ })
  t.match(judgeImage(narrow, 'redis', [local]), { allowed: false, why: /not pulled/ })
  t.match(judgeImage(narrow, 'redis', []), { allowed: false })
  const lenient = policyOf({ images: ['docker.io/library/*'] })
  t.match(judgeImage(lenient, 'redis', [local]), { allowed: true })
  t.match(judgeImage(lenient, 'redis', [evil]), { allowed: false })
  t.match(judgeImage(policyOf({}), 'redis', [evil]), { allowed: true })
})

test('a star stands for anything, and nothing else does', async (t) => {
  t.ok(matches('a*c', 'abc'))
  t.ok(matches('a*', 'a'))
  t.ok(matches('*a*a', 'aa'))
  t.notOk(matches('a*a', 'a'), 'a character counts once')
  t.notOk(matches('a.c', 'abc'))
  t.ok(matches('a**c', 'abc'))
})
