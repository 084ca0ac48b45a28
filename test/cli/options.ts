/** Options that are read: what they are not is said before anything starts. */
import { test } from 'tap'
import { runProgram } from '../support/program.ts'

test('a number is a whole number', async (t) => {
  for (const option of ['--drain-seconds', '--workers'])
    for (const text of ['', 'abc', '1.5', '-1', ' 1', '1e3', '0x10'])
      t.match(
        await runProgram({}, 'serve', option, text),
        {
          exitCode: 2,
          err: new RegExp(`option '${option} <n>' .*Write a whole number, such as 4`),
        },
        `${option} ${JSON.stringify(text)}`,
      )
})

test('how large it may be is said by its name', async (t) => {
  const rest = ['--listen', 'tcp://127.0.0.1:0']
  for (const [option, number] of [
    ['--workers', '0'],
    ['--drain-seconds', '86401'],
  ] as const)
    t.match(await runProgram({}, 'serve', option, number, ...rest), {
      exitCode: 2,
      err: new RegExp(`^berth: ${option}: `),
    })
})
