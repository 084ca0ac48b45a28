/** `docker compose` through berth: a project of three services lives and dies as it does without. */
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { docker, type Host, type Ran, startDocker } from '../../fixtures/docker.ts'
import { alike, type Pair, sorted, sortLines, startPair, succeed } from '../support/docker.ts'

const PORT = 8080

const COMPOSE = `services:
  db:
    image: busybox
    init: true
    command: sh -c 'mkdir -p /data && echo stored >/data/file && touch /ready && exec sleep 1000'
    volumes: [data:/data]
    networks: [back]
    healthcheck: { test: [CMD, test, -e, /ready], interval: 200ms, retries: 50 }
  web:
    image: busybox
    init: true
    command: sh -c 'mkdir -p /www && cp /data/file /www/index.html && echo serving && exec httpd -f -p 80 -h /www'
    volumes: ['data:/data:ro']
    networks: [front, back]
    ports: ['127.0.0.1:${PORT}:80']
    depends_on: { db: { condition: service_healthy } }
  job:
    build: ./job
    networks: [front]
    environment: { WORD: hello }
    depends_on: [web]
networks: { front: {}, back: { internal: true } }
volumes: { data: {} }
`

const JOB = {
  Dockerfile: 'FROM busybox\nCOPY script /script\nCMD ["sh", "/script"]\n',
  script: 'echo $WORD; until wget -qO- http://web/ 2>/dev/null; do sleep 0.1; done; echo done\n',
}

test('compose', async (t) => {
  const pair = await startPair(t)
  const folder = t.testdir({ 'compose.yaml': COMPOSE, job: JOB })

  const project = (name: string): string[] => {
    const file = join(folder, 'compose.yaml')
    return ['compose', '--progress', 'plain', '-p', name, '-f', file]
  }

  await alike(t, pair, 'up --build, ps, logs, exec, run, stop, down', async (host, name) => {
    const compose = async (...args: string[]) =>
      sorted(await docker(host, [...project(name), ...args]))
    const up = await compose('up', '--build', '--detach')
    t.equal(up.code, 0)
    const served = await httpGet(pair, PORT)
    t.match(served, 'stored')
    // the job has ended for certain, so that it is started again for certain
    await docker(host, ['wait', `${name}-job-1`])
    const says: Record<string, unknown> = { again: await compose('up', '--detach') }
    says.job = await docker(host, ['wait', `${name}-job-1`])
    says.list = await compose(
      'ps',
      '--all',
      '--format',
      '{{.Name}} {{.Service}} {{.State}} {{.Health}} {{.Ports}}',
    )
    says.config = await compose('config', '--images')
    says.logs = await compose('logs', '--no-color', 'job', 'db')
    says.exec = await compose('exec', '-T', 'web', 'sh', '-c', 'cat /data/file; exit 4')
    says.run = await compose('run', '--rm', '--no-deps', '-T', 'job', 'echo', 'once')
    says.top = (await compose('top', 'db')).code
    says.images = (await compose('images', '--quiet')).code
    says.projects = await docker(host, [
      'compose',
      'ls',
      '--format',
      'json',
      '--filter',
      `name=${name}`,
    ])
    says.scaled = (await compose('up', '--detach', '--scale', 'db=2', '--no-build')).code
    says.stop = (await compose('stop', '--timeout', '5')).code
    says.down = await compose('down', '--volumes', '--rmi', 'local')
    says.left = [
      await docker(host, ['ps', '--all']),
      await docker(host, ['volume', 'ls', '--filter', `name=${name}`]),
      await docker(host, ['network', 'ls', '--filter', `name=${name}`]),
    ]
    return says
  })

  await alike(
    t,
    pair,
    'up in the foreground and logs -f, each until ctrl-C',
    async (host, name) => {
      await succeed(host, [...project(name), 'build', '--quiet'])
      const up = await interrupted(host, [...project(name), 'up', '--no-color'], 'job-1 exited')
      await succeed(host, [...project(name), 'up', '--detach'])
      await succeed(host, ['wait', `${name}-job-1`])
      const follow = [...project(name), 'logs', '--follow', '--no-log-prefix', '--tail', '1', 'job']
      const logs = await interrupted(host, follow, 'done')
      await succeed(host, [...project(name), 'down', '--volumes', '--rmi', 'local'])
      return { up, logs }
    },
  )

  await alike(t, pair, 'a service that cannot start', async (host, name) => {
    const failed = await docker(
      host,
      ['compose', '--progress', 'quiet', '-p', name, '-f', '-', 'up'],
      {
        input: 'services: { a: { image: busybox, command: no-such-command } }',
      },
    )
    await succeed(host, ['compose', '-p', name, 'down'])
    return { ...failed, stdout: sortLines(failed.stdout) }
  })
})

/** Runs a command until it has shown `mark`, then presses ctrl-C. */
const interrupted = async (host: Host, args: readonly string[], mark: string): Promise<Ran> => {
  const command = await startDocker(host, args)
  const stderr = text(command.stderr)
  let stdout = ''
  command.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk
    if (!command.killed && stdout.includes(mark)) command.kill('SIGINT')
  })
  const [code] = await once(command, 'close')
  return sorted({ code, stdout, stderr: await stderr })
}

/** The page that a published port of the engine serves, once it does. */
const httpGet = ({ engine }: Pair, port: number): Promise<string> =>
  engine.inside(
    'bash',
    '-c',
    `for try in {1..50}; do exec 3<>/dev/tcp/127.0.0.1/${port} && break; sleep 0.1; done 2>/dev/null
    printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`,
  )
