/** Room for long bodies: a bound for the process and one for each owner, and a fair queue of those who wait. */
import { test } from 'tap'
import { Room, type Stay } from '../../src/relay/room.ts'
import { turn } from '../support/raw-client.ts'

const LIMITS = { bytes: 100, bytesOfOwner: 40, waitingOfOwner: 3, patienceMs: 1000 }

/** Notes down who is let in. */
const crowd = (room: Room, said: string[]) => (owner: string, bytes: number) => {
  const stay = room.enter(owner, bytes)
  const name = `${owner}${bytes}`
  if (stay.isIn) said.push(name)
  else
    stay.wait(
      () => said.push(name),
      ({ code }) => said.push(`${name} ${code}`),
    )
  return stay
}

test('an owner has so much, and the others have theirs', async (t) => {
  const room = new Room(LIMITS)
  const said: string[] = []
  const enter = crowd(room, said)
  const first = enter('a', 30)
  enter('a', 20)
  enter('b', 40)
  t.same(said, ['a30', 'b40'])
  first.leave()
  first.leave()
  t.equal(room.used, 60, 'room is given back once')
  await turn()
  t.same(said, ['a30', 'b40', 'a20'])
})

test('whoever is larger than a limit has it to itself', async (t) => {
  const room = new Room(LIMITS)
  const said: string[] = []
  const enter = crowd(room, said)
  const small = enter('a', 10)
  const large = enter('a', 500)
  enter('b', 10)
  t.same(said, ['a10', 'b10'])
  small.leave()
  await turn()
  t.same(said, ['a10', 'b10'], 'the process has somebody else')
  t.equal(room.used, 10)
  const late = enter('c', 10)
  t.same(said, ['a10', 'b10'], 'who came later does not overtake')
  late.leave()
  large.leave()
})

test('owners are let in by turns', async (t) => {
  const room = new Room({ ...LIMITS, bytesOfOwner: 100 })
  const said: string[] = []
  const enter = crowd(room, said)
  let stays: Stay[] = [enter('x', 100)]
  for (const owner of ['a', 'a', 'a', 'b', 'c']) stays.push(enter(owner, 60))
  while (stays.length > 0) {
    const isIn = stays.filter((stay) => stay.isIn)
    stays = stays.filter((stay) => !stay.isIn)
    for (const stay of isIn) stay.leave()
    await turn()
  }
  t.same(said, ['x100', 'a60', 'b60', 'c60', 'a60', 'a60'])
  t.equal(room.used, 0)
})

test('who waits too long is told, and so is one too many', async (t) => {
  const room = new Room({ ...LIMITS, patienceMs: 20 })
  const said: string[] = []
  const enter = crowd(room, said)
  const first = enter('a', 40)
  for (const bytes of [1, 2, 3]) enter('a', bytes)
  t.throws(() => enter('a', 4), { code: 'TOO_MANY_REQUESTS' })
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.same(said, ['a40', ...[1, 2, 3].map((bytes) => `a${bytes} TOO_MANY_REQUESTS`)])
  first.leave()
  t.equal(room.used, 0)
})

test('who gives up makes way', async (t) => {
  const room = new Room(LIMITS)
  const said: string[] = []
  const enter = crowd(room, said)
  const first = enter('a', 30)
  const second = enter('a', 30)
  enter('a', 10)
  second.leave()
  await turn()
  t.same(said, ['a30', 'a10'])
  first.leave()
  t.equal(room.used, 10)
})
