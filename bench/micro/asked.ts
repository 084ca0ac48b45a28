/** What the micro benches of identify ask: a request with a key in it, on connections of their own. */
import type { Connection, Exchange } from '../../src/exchange.ts'
import { createIdentify } from '../../src/tenant/identify.ts'
import type { Roster } from '../../src/tenant/roster.ts'
import { createThrottle } from '../../src/tenant/throttle.ts'
import { parseRequestHead } from '../../src/wire/parse-request.ts'
import { REQUEST } from './heads.ts'

type Asked = Pick<Exchange, 'connection' | 'head'>

export const newConnection = (): Connection => ({
  listener: 'tcp://127.0.0.1:2375',
  isAnonymous: false,
  remoteAddress: '127.0.0.1',
  serverName: undefined,
  certificate: undefined,
  isGone: false,
  whenGone: [],
  end() {},
})

/** A request as docker sends it with DOCKER_CUSTOM_HEADERS. */
export const askedWith = (key: string): Asked => ({
  head: parseRequestHead(`${REQUEST}\r\nX-Berth-Key: ${key}`),
  connection: newConnection(),
})

export const identifyWith = (roster: Roster) =>
  createIdentify({
    roster,
    throttle: createThrottle(),
    clientAuthority: undefined,
    givenAuthorities: [],
    now: Date.now,
  })
