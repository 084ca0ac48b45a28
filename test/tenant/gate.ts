/** Who waits for whom. */
import { test } from 'tap'
import { Gate } from '../../src/tenant/gate.ts'

test('a build that waits for its turn does not hold up the short requests of its tenant', async (t) => {
  const gate = new Gate(() => performance.now())
  const of = (weight: 'inFlight' | 'streams') => ({
    tenant: 'ann',
    engine: 'default',
    ofTenant: { streams: 1, inFlight: 5 },
    ofEngine: {},
    weight,
    patience: 1000,
  })
  const release = await gate.enter(of('streams'))
  const second = Promise.resolve(gate.enter(of('streams')))
  const short = gate.enter(of('inFlight'))
  t.type(short, 'function', 'it is let in at once')
  release()
  t.type(await second, 'function')
})
