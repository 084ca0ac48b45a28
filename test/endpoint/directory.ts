/** Which engine a tenant has, by name or by address. */
import { test } from 'tap'
import { createDirectory } from '../../src/endpoint/directory.ts'
import { parseEngineAddress as parse } from '../../src/upstream/address.ts'

const LOCAL = { kind: 'unix', path: '/run/docker.sock' } as const
const BUILDER = { kind: 'tcp', host: '10.0.0.2', port: 1234 } as const
const named = new Map([['vm', { address: LOCAL, build: BUILDER }]])

test('a named engine brings its builder along', async (t) => {
  const endpointOf = createDirectory({ named, parse })
  t.match(endpointOf({ id: 'ann', endpoint: 'vm' }), { address: LOCAL, build: BUILDER })
})

test('an address is itself, and the same one for all who have it', async (t) => {
  const endpointOf = createDirectory({ named, parse })
  const endpoint = 'tls://engine.example.com:2376'
  const ann = endpointOf({ id: 'ann', endpoint })
  const ben = endpointOf({ id: 'ben', endpoint })
  t.match(ann, { address: { kind: 'tls', host: 'engine.example.com', port: 2376 } })
  t.equal(ann.address, ben.address)
  t.not(ann.key, ben.key, 'no two tenants share connections')
  t.not(
    endpointOf({ id: 'ann', endpoint: 'tcp://engine.example.com:2376' }).key,
    ann.key,
    'nor what is encrypted and what is not',
  )
})

test('what nobody knows is named', async (t) => {
  const endpointOf = createDirectory({ named, parse })
  t.throws(() => endpointOf({ id: 'ann', endpoint: 'vmm' }), {
    code: 'ENDPOINT_UNKNOWN',
    message: /"vmm" is not among/,
  })
  t.throws(() => endpointOf({ id: 'ann', endpoint: 'ftp://x:1' }), { code: 'ENDPOINT_UNKNOWN' })
})
