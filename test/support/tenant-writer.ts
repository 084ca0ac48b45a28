/** A process that adds tenants, turns their keys and disables some, and reports each write once it was acknowledged. */
import { join } from 'node:path'
import { openLmdb } from '../../src/store/lmdb.ts'
import { createRegistry } from '../../src/tenant/registry.ts'
import { loadSeal } from '../../src/tenant/seal.ts'

/** What must hold from now on, if nobody writes to this tenant again. */
export interface Written {
  readonly name: string
  /** The key that was given last. */
  readonly key: string
  readonly disabled: boolean
}

const [state = '', prefix = ''] = process.argv.slice(2)
const registry = createRegistry({
  store: await openLmdb(join(state, 'store')),
  seal: loadSeal(join(state, 'secret')),
  now: Date.now,
  onForged: () => undefined,
})

const tell = (written: Written): void => void process.send?.(written)

process.send?.('ready')
for (let n = 0; ; n += 1) {
  const name = `${prefix}-${n}`
  const { key } = await registry.add({ name, endpoint: 'default', policy: 'open', plan: 'p' })
  tell({ name, key, disabled: false })
  // rotated and disabled under other names, because what is under way on this one may be made or not
  const rotated = `${name}-r`
  await registry.add({ name: rotated, endpoint: 'default', policy: 'open', plan: 'p' })
  const turned = await registry.rotate(rotated, { overlap: 0 })
  tell({ name: rotated, key: turned.key, disabled: false })
  const disabled = `${name}-d`
  const third = await registry.add({
    name: disabled,
    endpoint: 'default',
    policy: 'open',
    plan: 'p',
  })
  await registry.disable(disabled)
  tell({ name: disabled, key: third.key, disabled: true })
}
