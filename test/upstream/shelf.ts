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

const ROOM = 3
const MAX_IDLE_MS = 50

/** The same arithmetic with nothing but a list: item and time, oldest first. */
class Model {
  readonly shelf = new Shelf<number>(ROOM, MAX_IDLE_MS)
  idle: [item: number, since: number][] = []
  now = 0
  #next = 0

  put(): void {
    this.idle.push([this.#next, this.now])
    const evicted = this.idle.length > ROOM ? this.idle.shift()?.[0] : undefined
    if (this.shelf.put(this.#next++, this.now) !== evicted) throw new Error('another was evicted')
  }

  take(): void {
    if (this.shelf.take() !== this.idle.pop()?.[0]) throw new Error('another was taken')
  }

  remove(item: number): void {
    const before = this.idle.length
    this.idle = this.idle.filter(([each]) => each !== item)
    if (this.shelf.remove(item) !== this.idle.length < before)
      throw new Error('another was removed')
  }

  wait(ms: number): void {
    this.now += ms
    const isOld = ([, since]: [number, number]): boolean => this.now - since >= MAX_IDLE_MS
    const old = this.idle.filter(isOld).map(([item]) => item)
    this.idle = this.idle.filter((each) => !isOld(each))
    if (this.shelf.expire(this.now).join() !== old.join()) throw new Error('others have expired')
  }
}

type Step = (model: Model) => void

const steps = fc.array(
  fc.oneof(
    fc.constant<Step>((model) => model.put()),
    fc.constant<Step>((model) => model.take()),
    fc.nat(20).map(
      (item): Step =>
        (model) =>
          model.remove(item),
    ),
    fc.nat(60).map(
      (ms): Step =>
        (model) =>
          model.wait(ms),
    ),
  ),
  { maxLength: 40 },
)

test('whatever happens, each item is in one place, and never more are idle than there is room', async (t) => {
  fc.assert(
    fc.property(steps, (steps) => {
      const model = new Model()
      for (const step of steps) {
        step(model)
        t.equal(model.shelf.size, model.idle.length)
      }
      t.ok(model.shelf.size <= ROOM)
    }),
  )
})
