/** What one request makes berth ask an engine: each thing once, not too many, and only while somebody waits. */
import { test } from 'tap'
import { fence } from '../support/fenced.ts'
import { rawClient } from '../support/raw-client.ts'
import { type Answer, RecordingEngine } from '../support/recording-engine.ts'

const json = (status: string, value: unknown): string => {
  const body = JSON.stringify(value)
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}
const CREATED = json('201 Created', { Id: 'abc', Warnings: [] })
const VOLUME = json('200 OK', { Driver: 'local', Options: null })
const container = (volumes: readonly string[]): string =>
  json('200 OK', { HostConfig: {}, Mounts: volumes.map((Name) => ({ Type: 'volume', Name })) })

const CONTAINER = /\/containers\/(\w+)\/json$/

/** An engine whose containers have the volumes that `volumesOf` says. */
const answering =
  (volumesOf: (name: string) => readonly string[], ms = 0): Answer =>
  async ({ request, socket, whole }) => {
    await whole
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms))
    if (request.method === 'POST') return void socket.write(CREATED)
    const name = CONTAINER.exec(request.target)?.[1]
    socket.write(name === undefined ? VOLUME : container(volumesOf(name)))
  }

const names = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `${prefix}${at}`)

const create = (VolumesFrom: readonly string[]): string => {
  const body = JSON.stringify({ Image: 'a', HostConfig: { VolumesFrom } })
  return `POST /v1.44/containers/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

test('what several containers lean on is looked at once', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answering(() => names('v', 100))
  const client = rawClient(t, await fence(t, engine)).send(create(names('c', 50)))
  await client.until('an answer', ({ statuses }) => statuses[0] === 201)
  const targets = engine.requests.map(({ target }) => target)
  t.equal(targets.length, 50 + 100 + 1)
  t.equal(new Set(targets).size, targets.length)
})

test('a request that leans on too much is refused, before it has asked for all of that', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answering((name) => names(`${name}v`, 200))
  const client = rawClient(t, await fence(t, engine)).send(create(names('c', 50)))
  await client.until('an answer', ({ statuses }) => statuses.length > 0)
  t.match(client.responses[0], {
    status: 403,
    body: /HostConfig\.VolumesFrom.*more than 256 containers, networks and volumes.*Name fewer/,
  })
  t.ok(engine.requests.length <= 256, `${engine.requests.length} were asked`)
})

test('who only audits asks no more than that, and lets the request go', async (t) => {
  const engine = await RecordingEngine.start(t)
  engine.answer = answering((name) => names(`${name}v`, 200))
  const yaml = 'profile: trial\npolicies: { trial: { mode: audit } }'
  const client = rawClient(t, await fence(t, engine, yaml)).send(create(names('c', 50)))
  await client.until('an answer', ({ statuses }) => statuses[0] === 201)
  t.equal(engine.requests.length, 256 + 1)
})

test('nothing more is asked for a client that has gone', async (t) => {
  for (const leave of ['reset', 'finish'] as const) {
    const engine = await RecordingEngine.start(t)
    engine.answer = answering(() => names('v', 200), 20)
    const client = rawClient(t, await fence(t, engine)).send(create(['c']))
    await engine.until('it is asked', ({ requests }) => requests.length > 2)
    client[leave]()
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const asked = engine.requests.length
    await new Promise((resolve) => setTimeout(resolve, 200))
    t.equal(engine.requests.length, asked, `it has not stopped after a ${leave}`)
    t.ok(asked < 100, `${asked} were asked`)
  }
})
