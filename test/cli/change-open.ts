/** What is changed of a tenant holds for connections that are open, too. */
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { openTenancy } from '../support/tenancy.ts'

test('a policy that is changed holds on a connection that stays open', async (t) => {
  const tenancy = await openTenancy(t)
  const { key } = await tenancy.add({
    name: 'ann',
    endpoint: 'unix:///nowhere.sock',
    policy: 'open',
  })
  const { url } = await tenancy.serve()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const create = () =>
    new Promise<[number | undefined, boolean]>((resolve, reject) => {
      const asked = request(`${url.replace('tcp:', 'http:')}/v1.51/containers/create`, {
        agent,
        method: 'POST',
        headers: { 'X-Berth-Key': key, 'Content-Type': 'application/json' },
      })
      asked.on('response', (answer) => {
        answer.resume()
        answer.on('end', () => resolve([answer.statusCode, asked.reusedSocket]))
      })
      asked.on('error', reject)
      asked.end('{"Image":"busybox","HostConfig":{"Privileged":true}}')
    })
  t.strictSame(await create(), [502, false], 'let through to an engine that is not there')
  await tenancy.order('tenant', 'change', 'ann', '--policy', 'dedicated')
  await delay(1000)
  t.strictSame(await create(), [403, true], 'refused, on the same connection')
})
