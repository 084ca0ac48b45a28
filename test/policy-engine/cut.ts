/** A create that never ends creates nothing: cut by its sender, or refused while most of it is with the engine already. */
import { test } from 'tap'
import type { Release } from '../../fixtures/engine.ts'
import { leavings, startFenced } from '../support/fenced.ts'
import { rawClient } from '../support/raw-client.ts'

/** More than berth holds back, so that it is streamed. */
const LONG = `"Env":[${Array.from({ length: 4000 }, (_, at) => `"VARIABLE_${at}=${'x'.repeat(20)}"`).join(',')}]`
const START = `{"Image":"busybox",${LONG},"HostConfig":{"Memory":67108864`
const WHOLE = `${START}}}`

const head = (framing: string): string =>
  `POST /v1.41/containers/create?name=cut HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`
const ofLength = (body: string): string => head(`Content-Length: ${body.length}`) + body
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`

for (const release of ['current', 'old'] satisfies Release[])
  test(`a create without its end makes nothing (${release} engine)`, async (t) => {
    const fenced = await startFenced(t, { release })
    const before = await leavings(fenced)
    const cuts: readonly (readonly [
      string,
      string,
      (client: ReturnType<typeof rawClient>) => void,
    ])[] = [
      ['reset', ofLength(WHOLE).slice(0, -1), (client) => client.reset()],
      ['half-closed', ofLength(WHOLE).slice(0, -1), (client) => client.finish()],
      ['closed', ofLength(WHOLE).slice(0, -1), (client) => client.destroy()],
      [
        'its last chunk too early',
        `${head('Transfer-Encoding: chunked')}${chunk(WHOLE.slice(0, -1))}0\r\n\r\n`,
        () => {},
      ],
      ['broken chunks', `${head('Transfer-Encoding: chunked')}${chunk(WHOLE)}zz\r\n`, () => {}],
      ['more behind it', ofLength(`${WHOLE}{}`), () => {}],
      ['a value forbidden at last', ofLength(`${START},"Privileged":true}}`), () => {}],
      ['a second spelling at last', ofLength(`${START}},"hostconfig":{}}`), () => {}],
      [
        'a name of the host at last',
        ofLength(`${START}},"NetworkingConfig":{"EndpointsConfig":{"host":{}}}}`),
        () => {},
      ],
    ]
    for (const [how, bytes, cut] of cuts) {
      const client = rawClient(t, fenced.url)
      client.send(bytes)
      // so that most of it is with the engine before it is cut
      await new Promise((resolve) => setTimeout(resolve, 60))
      cut(client)
      if (client.isClosed || how === 'reset' || how === 'closed') continue
      await client.until(
        `an answer to ${how}`,
        ({ statuses, end }) => statuses.length > 0 || end !== undefined,
      )
      t.notMatch(client.text, /^HTTP\/1\.1 2/, how)
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
    t.strictSame(await leavings(fenced), before)

    const whole = rawClient(t, fenced.url)
    whole.send(ofLength(WHOLE))
    await whole.until('an answer', ({ statuses }) => statuses.length > 0)
    t.strictSame(whole.statuses, [201], 'with its end it makes one')
    t.strictSame((await leavings(fenced)).length, before.length + 1)
  })
