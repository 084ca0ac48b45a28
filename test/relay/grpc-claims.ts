/** Build sessions belong to whoever named them first, on each engine by itself. */
import { test } from 'tap'
import { Claims } from '../../src/relay/grpc-claims.ts'

test("an id is the tenant's who named it first", async (t) => {
  const claims = new Claims()
  claims.claim('engine', 'session', 'one')
  claims.claim('engine', 'session', 'one')
  t.throws(() => claims.claim('engine', 'session', 'two'), { code: 'POLICY_DENIED' })
  t.doesNotThrow(() => claims.claim('another engine', 'session', 'two'))
})

test("many ids of one tenant push out his own, never another's", async (t) => {
  const claims = new Claims()
  claims.claim('engine', 'kept', 'one')
  for (let i = 0; i < 5000; i++) claims.claim('engine', `id-${i}`, 'two')
  t.throws(() => claims.claim('engine', 'kept', 'two'), { code: 'POLICY_DENIED' })
  t.doesNotThrow(() => claims.claim('engine', 'id-0', 'one'), 'the oldest has been forgotten')
  t.throws(() => claims.claim('engine', 'id-4999', 'one'), { code: 'POLICY_DENIED' })
})
