/** Judging in turns: however many bodies have come, a turn of the event loop has time for everything else. */
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import type { Exchange } from '../../src/exchange.ts'
import { JudgedUpload } from '../../src/relay/judged-upload.ts'
import type { Conduit } from '../../src/transport/conduit.ts'
import { turn } from '../support/raw-client.ts'

/** As long as nobody needs room for it. */
const LENGTH = 12 << 10
const BODY = Buffer.alloc(LENGTH, 'x')

/** Comes at once, and takes its judge so long for each slice. */
const begin = (owner: string, judged: () => void, ms = 1): Promise<unknown> => {
  const client = { receiver: {}, hold() {}, flow() {}, unread() {} } as unknown as Conduit
  const head = { framing: { kind: 'length', length: LENGTH } }
  const exchange = { client, head, invite() {}, bodyRead() {} } as unknown as Exchange
  const write = (): void => {
    judged()
    for (const until = performance.now() + ms; performance.now() < until; );
  }
  const judge = { write, settle: () => Promise.resolve(), finish() {} }
  const plan = { kind: 'judge', owner, cap: LENGTH, mayStream: false, begin: () => judge } as const
  const whole = new JudgedUpload(exchange, plan).read()
  client.receiver.received(BODY, client)
  return whole
}

test('a turn has a few slices for all bodies together', async (t) => {
  let slices = 0
  let isOver = false
  const judged = (): void => void slices++
  const all = Promise.all(Array.from({ length: 20 }, () => begin('a', judged)))
  void all.then(() => {
    isOver = true
  })
  let most = slices
  let turns = 0
  while (!isOver) {
    const before = slices
    await turn()
    most = Math.max(most, slices - before)
    turns++
  }
  t.equal(slices, 20 * 6, 'all were judged')
  t.ok(most <= 6, `${most} slices in one turn`)
  t.ok(turns >= 20, `${turns} turns`)
})

test('who has one body does not wait for all of who has many', async (t) => {
  const ends: string[] = []
  const bodies = [...Array.from({ length: 20 }, () => 'many'), 'one']
  await Promise.all(bodies.map((owner) => begin(owner, () => {}).then(() => ends.push(owner))))
  const place = ends.indexOf('one')
  t.ok(place <= 3, `${place} were judged before`)
})

test('what takes long in one go is alone in its turn', async (t) => {
  // whatever was judged before has been paid for by then
  await delay(100)
  let slices = 0
  const judged = (): void => void slices++
  const all = Array.from({ length: 4 }, () => begin('a', judged, 20))
  t.equal(slices, 1, 'the others wait')
  for (let before = slices; before < 4 * 6; before = slices) {
    await turn()
    if (slices > before + 1) t.fail(`${slices - before} in one turn`)
  }
  await Promise.all(all)
})
