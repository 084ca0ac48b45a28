/** Connections over TLS to servers that are as they should be, and to those that are not. */
import { once } from 'node:events'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls'
import { type Test, test } from 'tap'
import type { TlsPeer } from '../../src/upstream/address.ts'
import { dial } from '../../src/upstream/dial.ts'
import { connectTls } from '../../src/upstream/dial-tls.ts'
import { Pool } from '../../src/upstream/pool.ts'
import { engineCertificates } from '../support/engine-certificates.ts'

const PATIENCE_MS = 5000
const HEAD = 'GET /_ping HTTP/1.1\r\nHost: e\r\n\r\n'

/** A server that answers each connection with 204; resolves to its port. */
const serve = async (
  t: Test,
  options: TlsOptions,
  host = '127.0.0.1',
  onSocket?: (socket: TLSSocket) => void,
): Promise<number> => {
  const server = createServer({ allowHalfOpen: true, ...options } as TlsOptions, (socket) => {
    socket.on('error', () => {})
    if (onSocket !== undefined) return onSocket(socket)
    socket.on('data', () => socket.write('HTTP/1.1 204 No Content\r\n\r\n'))
  })
  server.listen(0, host)
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** What comes of a request: a status, or the failure's message. */
const ask = async (t: Test, peer: TlsPeer): Promise<string> => {
  const pool = new Pool({ kind: 'tls', ...peer })
  t.teardown(() => pool.close())
  try {
    const connection = await pool.begin(HEAD)
    t.teardown(() => pool.release(connection, false))
    return await new Promise((resolve) =>
      connection.ask(HEAD, 'GET', {
        answered: ({ status }) => resolve(String(status)),
        unanswered: ({ message }) => resolve(message),
      }),
    )
  } catch (error) {
    return (error as Error).message
  }
}

test('a certificate is checked for its authority, its name and its time', async (t) => {
  const mine = await engineCertificates(t)
  const foreign = await engineCertificates(t)
  const { ca } = mine
  const of = async (issued: Promise<{ certificate: string; key: string }>, host?: string) => {
    const { certificate: cert, key } = await issued
    return serve(t, { cert, key }, host)
  }
  const host = '127.0.0.1'
  const good = await of(mine.server())
  t.equal(await ask(t, { host, port: good, ca }), '204')
  t.match(
    await ask(t, { host, port: good }),
    /cannot be reached: tls:\/\/127\.0\.0\.1:\d+: its certificate was issued by none.*`ca`/,
    "the system's authorities are trusted where none is named",
  )
  t.match(await ask(t, { host, port: await of(foreign.server()), ca }), /issued by none/)
  t.match(await ask(t, { host, port: await of(mine.expired()), ca }), /has expired/)
  const elsewhere = await of(mine.server('engine.example.com'))
  t.match(
    await ask(t, { host, port: elsewhere, ca }),
    /its certificate is for DNS:engine\.example\.com; say one of these in the address/,
  )
  const named = await of(mine.server('localhost'))
  t.equal(await ask(t, { host: 'localhost', port: named, ca }), '204')
  const six = await of(mine.server('::1'), '::1')
  t.equal(await ask(t, { host: '::1', port: six, ca }), '204', 'IPv6 too')
})

test('an engine that wants a certificate of berth gets one, or is quoted', async (t) => {
  const mine = await engineCertificates(t)
  const foreign = await engineCertificates(t)
  const { certificate: cert, key } = await mine.server()
  const shown = await mine.dialler()
  const wrong = await foreign.dialler()
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const)
    for (const protocol of ['h2', 'http/1.1']) {
      const port = await serve(t, {
        ...{ cert, key, ca: mine.ca, requestCert: true, rejectUnauthorized: true },
        ...{ maxVersion, ALPNProtocols: [protocol] },
      })
      const peer = { host: '127.0.0.1', port, ca: mine.ca }
      const said = `${maxVersion}, ${protocol}`
      t.match(await ask(t, peer), /cannot be reached: .*wants a client certificate/, said)
      t.match(
        await ask(t, { ...peer, certificate: wrong.certificate, key: wrong.key }),
        // Node's servers do not say why; engines do (test/scenario/tls-engine.ts)
        /^the engine (?:cannot be reached|closed the connection)/,
        said,
      )
      if (protocol === 'http/1.1')
        t.equal(
          await ask(t, { ...peer, certificate: shown.certificate, key: shown.key }),
          '204',
          said,
        )
    }
})

test('what is no TLS, or an old one, is told apart', async (t) => {
  const { ca, server } = await engineCertificates(t)
  const { certificate: cert, key } = await server()
  const plain = createTcpServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  plain.listen(0, '127.0.0.1')
  await once(plain, 'listening')
  t.teardown(() => plain.close())
  const { port } = plain.address() as AddressInfo
  const host = '127.0.0.1'
  t.match(await ask(t, { host, port, ca }), /does not speak TLS; is it a tcp:/)
  const old = await serve(t, {
    ...{ cert, key, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' },
    ciphers: 'DEFAULT@SECLEVEL=0',
  })
  t.match(await ask(t, { host, port: old, ca }), /nothing newer than TLS 1\.1/)
  await t.rejects(dial({ kind: 'tls', host, port: 1, ca }), {
    code: 'ENGINE_UNREACHABLE',
    message: /tls:\/\/127\.0\.0\.1:1: nothing listens there/,
  })
})

test('a server that says nothing is given up in time', async (t) => {
  const silent = createTcpServer(() => {})
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const { port } = silent.address() as AddressInfo
  const connecting = connectTls({ host: '127.0.0.1', port }, ['h2'], 50)
  await t.rejects(connecting, { code: 'ENGINE_TIMEOUT', message: /within 0\.05 s/ })
})

test('half-closes are passed on as they are made', async (t) => {
  const { ca, server } = await engineCertificates(t)
  const { certificate: cert, key } = await server()
  const port = await serve(t, { cert, key }, '127.0.0.1', (socket) => {
    socket.on('data', () => {})
    socket.once('end', () => socket.end('an answer'))
  })
  const conduit = await dial({ kind: 'tls', host: '127.0.0.1', port, ca }, PATIENCE_MS)
  const heard = new Promise<string>((resolve) => {
    let text = ''
    conduit.receiver = {
      received: (bytes) => {
        text += bytes
      },
      ended: () => resolve(text),
      gone: () => resolve(`${text}, and gone`),
    }
  })
  conduit.flow()
  conduit.say('last words')
  conduit.finish()
  t.equal(await heard, 'an answer')
})

test('a connection that was dialled can be reset: its server is rid of it', async (t) => {
  const { ca, server } = await engineCertificates(t)
  const { certificate: cert, key } = await server()
  let left = 0
  const port = await serve(t, { cert, key }, '127.0.0.1', (socket) => {
    socket.resume().once('close', () => (left += 1))
    socket.on('end', () => socket.end())
  })
  const conduit = await dial({ kind: 'tls', host: '127.0.0.1', port, ca })
  const gone = new Promise<void>((resolve) => {
    conduit.onGone = resolve
  })
  conduit.reset()
  await gone
  const deadline = Date.now() + PATIENCE_MS
  while (left === 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5))
  t.equal(left, 1)
})
