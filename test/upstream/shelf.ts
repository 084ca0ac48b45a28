import fc from 'fast-check'
import { test } from 'tap'
import { Shelf } from '../../src/upstream/shelf.ts'

test('the newest comes back first, and the oldest makes room', async (t) => {
  const shelf = new Shelf<string>(2, 1000)
  t.equal(shelf.take(), undefined)
  t.equal(shelf.put('a', 0), undefined)
  t.equal(shelf.put('b', 1), undefined)
  t.equal(shelf.put('c', 2), 'a', 'there is room for two')
  t.equal(shelf.take(), 'c')
  t.equal(shelf.take(), 'b')
  t.equal(shelf.take(), undefined)
})

test('a shelf without room keeps nothing', async (t) => {
  const shelf = new Shelf<string>(0, 1000)
  t.equal(shelf.put('a', 0), 'a')
  t.equal(shelf.size, 0)
})

test('what was idle too long expires, and nothing else', async (t) => {
  const shelf = new Shelf<string>(10, 100)
  shelf.put('a', 0)
  shelf.put('b', 50)
  t.same(shelf.expire(99), [])
  t.same(shelf.expire(100), ['a'])
  t.same(shelf.expire(150), ['b'])
  t.equal(shelf.size, 0)
})

test('what died by itself is forgotten', async (t) => {
  const shelf = new Shelf<string>(10, 100)
  shelf.put('a', 0)
  shelf.put('b', 0)
  t.equal(shelf.remove('a'), true)
  t.equal(shelf.remove('a'), false)
  t.same(shelf.clear(), ['b'])
  t.equal(shelf.take(), undefined)
})

type Step = readonly ['put'] | readonly ['take'] | readonly ['remove', number] | readonly ['wait', number]

const steps = fc.array(
  fc.oneof(
    fc.constant<Step>(['put']),
    fc.constant<Step>(['take']),
    fc.nat(20).map((item): Step => ['remove', item]),
    fc.nat(60).map((ms): Step => ['wait', ms]),
  ),
  { maxLength: 40 },
)

test('whatever happens, each item is in one place, and never more are idle than there is room', async (t) => {
  fc.assert(
    fc.property(steps, (steps) => {
      const shelf = new Shelf<number>(3, 50)
      const idle = new Map<number, number>()
      let [now, next] = [0, 0]
      for (const step of steps) {
        if (step[0] === 'put') {
          const evicted = shelf.put(next, now)
          idle.set(next++, now)
          if (evicted !== undefined) t.ok(idle.delete(evicted))
        } else if (step[0] === 'take') {
          const item = shelf.take()
          t.equal(item, [...idle.keys()].at(-1))
          if (item !== undefined) idle.delete(item)
        } else if (step[0] === 'remove') t.equal(shelf.remove(step[1]), idle.delete(step[1]))
        else {
          now += step[1]
          for (const item of shelf.expire(now)) {
            t.ok(now - idle.get(item)! >= 50)
            idle.delete(item)
          }
          for (const since of idle.values()) t.ok(now - since < 50)
        }
        t.equal(shelf.size, idle.size)
        t.ok(shelf.size <= 3)
      }
    }),
  )
})
