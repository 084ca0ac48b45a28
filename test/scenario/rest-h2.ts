/** The API over HTTP/2, with prior knowledge, to a real engine: requests as ever, and no stream can be taken over. */
import { once } from 'node:events'
import { connect } from 'node:http2'
import { text } from 'node:stream/consumers'
import { type Test, test } from 'tap'
import { startPair, succeed } from '../support/docker.ts'

/** Asks over one connection; resolves to status and body. */
const client = (t: Test, url: string) => {
  const session = connect(url.replace('tcp:', 'http:'))
  t.teardown(() => session.destroy())
  return async (method: string, path: string, body?: object) => {
    const stream = session.request({
      ':method': method,
      ':path': `/v1.44${path}`,
      ...(body && { 'content-type': 'application/json' }),
    })
    stream.end(body && JSON.stringify(body))
    const [headers] = await once(stream, 'response')
    return { status: headers[':status'] as number, body: await text(stream) }
  }
}

test('what is asked over HTTP/2 is answered, and an exec may be started there if it is detached', async (t) => {
  const { berth } = await startPair(t)
  const ask = client(t, berth.url)
  await succeed(berth, ['run', '-d', '--init', '--name', 'box', 'busybox', 'sleep', '1000'])
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => ask('GET', '/containers/box/json')),
  )
  for (const { status, body } of answers)
    t.match([status, JSON.parse(body)], [200, { Name: '/box', State: { Running: true } }])

  const exec = async (start: object) => {
    const made = await ask('POST', '/containers/box/exec', { Cmd: ['touch', '/done'] })
    const { Id } = JSON.parse(made.body)
    return ask('POST', `/exec/${Id}/start`, start)
  }
  t.match(await exec({ Detach: false }), { status: 400, body: /HTTP\/1\.1/ })
  t.match(await exec({}), { status: 400, body: /HTTP\/1\.1/ })
  await t.rejects(succeed(berth, ['exec', 'box', 'ls', '/done']))
  t.match(await exec({ Detach: true, Tty: false }), { status: 200, body: '' })
  const done = async () => succeed(berth, ['exec', 'box', 'ls', '/done']).catch(() => '')
  const deadline = Date.now() + 10_000
  while ((await done()) !== '/done\n' && Date.now() < deadline);
  t.equal(await done(), '/done\n')
  t.equal((await ask('POST', '/containers/box/attach?stream=1')).status, 400)
})
