/** What berth makes before a create: where the engine will not, the create does not reach it. */
import { test } from 'tap'
import { fence } from '../support/fenced.ts'
import { rawClient } from '../support/raw-client.ts'
import { RecordingEngine } from '../support/recording-engine.ts'

const refusal = (message: string): string => {
  const body = JSON.stringify({ message })
  return `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

const BODY = JSON.stringify({ Image: 'a', HostConfig: { Binds: ['/data:/data'] } })
const CREATE = `POST /v1.44/containers/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`

for (const { says, status, asked } of [
  {
    says: 'client version 1.44 is too new. Maximum supported API version is 1.43',
    status: 400,
    asked: ['/v1.44/volumes/create', '/v1.44/containers/create'],
  },
  {
    says: 'quota size requested but no quota support',
    status: 502,
    asked: ['/v1.44/volumes/create'],
  },
])
  test(`an engine that makes no volume, as "${says}"`, async (t) => {
    const engine = await RecordingEngine.start(t)
    engine.answer = async ({ socket, whole }) => {
      await whole
      socket.write(refusal(says))
    }
    const client = rawClient(t, await fence(t, engine)).send(CREATE)
    await client.until('an answer', ({ statuses }) => statuses.length > 0)
    t.match(client.responses[0], { status, body: says })
    const made = engine.requests.map(({ target }) => target).filter((at) => at.endsWith('/create'))
    t.strictSame(made, asked)
  })
