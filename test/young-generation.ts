/** V8's young generation: it stays small while little survives, and grows where much does. */
import { execFileSync } from 'node:child_process'
import { test } from 'tap'

const MODULE = new URL('../dist/src/young-generation.js', import.meta.url).href

/** What is loaded lives on, and so would make it grow; then comes work, and the last line is its half in MB. */
const program = (isKept: boolean, work: string): string => `
  import { getHeapSpaceStatistics } from 'node:v8'
  import { keepYoungGenerationSmall } from '${MODULE}'
  if (${isKept}) keepYoungGenerationSmall()
  const objects = (count) => Array.from({ length: count }, (_, i) => ({ i, text: 't' + i }))
  const loaded = objects(500_000)
  const started = Date.now()
  const turn = () => {
    ${work}
    if (Date.now() - started < 5000) return setTimeout(turn, 1)
    const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')
    console.log(young.space_size / 2 ** 21, loaded.length)
  }
  turn()`

/** Without NODE_OPTIONS: what tap loads into each child lives on, too. */
const megabytes = (isKept: boolean, work: string): number => {
  const node = [process.execPath, '--input-type=module', '--eval', program(isKept, work)]
  return Number.parseFloat(execFileSync('env', ['-i', ...node], { encoding: 'utf8' }))
}

const DIES = 'objects(20)'
/** What is new lives on for a long time, so that each collection copies all of it. */
const LIVES = 'loaded.splice(0, 4000); loaded.push(...objects(4000))'

test('what was loaded does not make it grow', async (t) => {
  t.ok(megabytes(false, DIES) > 2, 'left to V8 it has grown')
  t.ok(megabytes(true, DIES) <= 1)
})

test('it grows where much of what is young lives on', async (t) => {
  t.ok(megabytes(true, LIVES) > 2)
})
