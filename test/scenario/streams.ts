/** Everything that is live: stdin, terminals, attach, and the output of containers that end at once. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { docker, startDocker } from '../../fixtures/docker.ts'
import { openTerminal, type Size, type Terminal } from '../../fixtures/terminal.ts'
import { alike, startPair, succeed } from '../support/docker.ts'

const SOAK = process.env.BERTH_SOAK === '1'

test('stdin and stdout of run, exec and attach', async (t) => {
  const pair = await startPair(t)
  const large = randomBytes(150_000).toString('hex')
  const digest = (text: string) => createHash('sha256').update(text).digest('hex')

  await alike(t, pair, 'echo hi | docker run -i', async (host) => {
    const ran = await docker(host, ['run', '-i', '--rm', 'busybox', 'cat'], { input: 'hi\n' })
    t.equal(ran.stdout, 'hi\n')
    return ran
  })

  await alike(t, pair, '300 kB go in and come back', async (host) => {
    const ran = await docker(host, ['run', '-i', '--rm', 'busybox', 'cat'], { input: large })
    t.equal(digest(ran.stdout), digest(large))
    return ran.code
  })

  await alike(t, pair, '300 kB go in, are counted, and other 300 kB come back', async (host) => {
    const script = 'wc -c >&2; head -c 300000 /dev/zero | tr "\\0" x; exit 6'
    const ran = await docker(host, ['run', '-i', '--rm', 'busybox', 'sh', '-c', script], {
      input: large,
    })
    t.equal(ran.stdout.length, 300_000)
    return ran
  })

  await alike(t, pair, '32 MB of output', async (host) => {
    const script = 'dd if=/dev/zero bs=1M count=32 2>/dev/null | tr "\\0" x'
    const ran = await docker(host, ['run', '--rm', 'busybox', 'sh', '-c', script])
    t.equal(ran.stdout.length, 32 << 20)
    return ran.code
  })

  await alike(t, pair, 'exec, with and without stdin', async (host, name) => {
    await succeed(host, ['run', '--detach', '--init', '--name', name, 'busybox', 'sleep', '1000'])
    const echoed = await docker(host, ['exec', '-i', name, 'cat'], { input: large })
    t.equal(digest(echoed.stdout), digest(large))
    const counted = await docker(host, ['exec', '-i', name, 'wc', '-c'], { input: large })
    const blind = await docker(host, ['exec', name, 'wc', '-c'], { input: large })
    await succeed(host, ['rm', '--force', name])
    return { counted, blind }
  })

  await alike(
    t,
    pair,
    'attach gives stdin to a container that waits for it',
    async (host, name) => {
      const script = 'read line; echo "got $line"; exit 4'
      await succeed(host, [
        'run',
        '--detach',
        '--interactive',
        '--name',
        name,
        'busybox',
        'sh',
        '-c',
        script,
      ])
      // An engine drops the output of a client whose stdin ends first, unless the container was attached at its start.
      const attach = await startDocker(host, ['attach', name])
      attach.stdin.write('hello\n')
      const [stdout, [code]] = await Promise.all([text(attach.stdout), once(attach, 'close')])
      await succeed(host, ['rm', name])
      t.equal(stdout, 'got hello\n')
      return code
    },
  )

  await alike(t, pair, 'create, then start -ai', async (host, name) => {
    await succeed(host, ['create', '--interactive', '--name', name, 'busybox', 'cat'])
    const started = await docker(host, ['start', '--attach', '--interactive', name], {
      input: large,
    })
    t.equal(digest(started.stdout), digest(large))
    await succeed(host, ['rm', name])
    return started.code
  })

  await alike(t, pair, 'a signal to the client reaches the container', async (host, name) => {
    const script = 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.05; done'
    const run = await startDocker(host, [
      'run',
      '--rm',
      '--name',
      name,
      'busybox',
      'sh',
      '-c',
      script,
    ])
    const output = text(run.stdout)
    await once(run.stdout, 'data')
    run.kill('SIGINT')
    const [code] = await once(run, 'close')
    return { code, output: await output }
  })
})

/** Resizes until the shell inside says so: docker listens for SIGWINCH only a little after the shell has started. */
const resize = async (terminal: Terminal, { rows, columns }: Size): Promise<void> => {
  const isShown = async (): Promise<boolean> => {
    await terminal.resize({ rows: rows - 1, columns })
    await terminal.resize({ rows, columns })
    terminal.type('sleep 0.2; stty size\r')
    return terminal.shows(`${rows} ${columns}`, 1000).then(
      () => true,
      () => false,
    )
  }
  for (let tries = 0; tries < 10; tries += 1) if (await isShown()) return
  await terminal.shows(`${rows} ${columns}`)
}

test('terminals', async (t) => {
  const pair = await startPair(t)

  await alike(t, pair, 'run -it: typing, resizing, and the exit code', async (host) => {
    const terminal = await openTerminal(host, ['run', '-it', '--rm', 'busybox', 'sh'])
    terminal.type('stty size\r')
    await terminal.shows('24 80')
    await resize(terminal, { rows: 40, columns: 132 })
    terminal.type('exit 3\r')
    return terminal.ended
  })

  await alike(t, pair, 'exec -it and attach to a terminal, resized', async (host, name) => {
    await succeed(host, ['run', '-dit', '--name', name, 'busybox', 'sh'])
    const exec = await openTerminal(host, ['exec', '-it', name, 'sh'], { rows: 30, columns: 90 })
    exec.type('stty size\r')
    await exec.shows('30 90')
    await resize(exec, { rows: 31, columns: 91 })
    exec.type('exit 5\r')
    const attach = await openTerminal(host, ['attach', name], { rows: 20, columns: 70 })
    attach.type('sleep 0.2; stty size\r')
    await attach.shows('20 70')
    attach.type('exit 6\r')
    const codes = [await exec.ended, await attach.ended]
    await succeed(host, ['rm', name])
    return codes
  })
})

test('the output of a short-lived container is never lost', async (t) => {
  const { berth } = await startPair(t)
  const echo = async (word: string): Promise<string> => {
    const ran = await docker(berth, ['run', '--rm', 'busybox', 'echo', word])
    return `${ran.code} ${ran.stdout}${ran.stderr}`
  }
  const runs = SOAK ? 200 : 20

  await t.test('one after the other', async (t) => {
    for (let run = 0; run < runs; run += 1) t.equal(await echo(`one-${run}`), `0 one-${run}\n`)
  })

  await t.test('eight at a time', async (t) => {
    let run = 0
    const next = async () => {
      while (run < 2 * runs) {
        const word = `eight-${run}`
        run += 1
        t.equal(await echo(word), `0 ${word}\n`)
      }
    }
    await Promise.all(Array.from({ length: 8 }, next))
  })
})
