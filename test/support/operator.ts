/** An operator in a process of its own: does to tenants what its parent says, and answers when it is done. */

import { openStore } from '../../src/store/open.ts'
import { createRegistry, type Registry } from '../../src/tenant/registry.ts'
import { loadSeal } from '../../src/tenant/seal.ts'

/** What the parent may ask for, with the arguments of the registry's method. */
export type Order = {
  [Method in keyof Registry]: readonly [Method, ...Parameters<Registry[Method]>]
}[keyof Registry]

const [url = '', secret = ''] = process.argv.slice(2)
const store = await openStore(url)
const registry = createRegistry({
  store,
  seal: loadSeal(secret),
  now: Date.now,
  onForged: () => undefined,
})

process.on('message', async ([method, ...args]: Order) => {
  const act = registry[method] as (...args: unknown[]) => Promise<unknown>
  process.send?.((await act(...args)) ?? null)
})
process.send?.('ready')
