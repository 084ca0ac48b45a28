/** `docker compose` through berth: a project of three services lives and dies as it does without. */
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { docker, type Host, startDocker } from '../../fixtures/docker.ts'
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
    command: sh -c 'mkdir /www && cp /data/file /www/index.html && echo serving && exec httpd -f -p 80 -h /www'
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
  script: 'echo $WORD; wget -qO- http://web/; echo done\n',
}

test('compose', async (t) => {
  const pair = await startPair(t)
  const folder = t.testdir({ 'compose.yaml': COMPOSE, job: JOB })

  const compose = async (host: Host, name: string, ...args: string[]) =>
    sorted(
      await docker(host, [
        'compose',
        '--progress',
        'plain',
        '-p',
        name,
        '-f',
        join(folder, 'compose.yaml'),
        ...args,
      ]),
    )

  await alike(t, pair, 'up --build, ps, logs, exec, run, stop, down', async (host, name) => {
    const project = (...args: string[]) => compose(host, name, ...args)
    const up = await project('up', '--build', '--detach')
    t.equal(up.code, 0)
    const served = await httpGet(pair, PORT)
    t.match(served, 'stored')
    const says = { up: up.code, wait: await project('wait', 'job') } as Record<string, unknown>
    says.again = await project('up', '--detach')
    says.list = await project(
      'ps',
      '--all',
      '--format',
      '{{.Name}} {{.Service}} {{.State}} {{.Health}} {{.Ports}}',
    )
    says.config = await project('config', '--images')
    says.logs = await project('logs', '--no-color', 'job', 'db')
    says.exec = await project('exec', '-T', 'web', 'sh', '-c', 'cat /data/file; exit 4')
    says.run = await project('run', '--rm', '--no-deps', '-T', 'job', 'echo', 'once')
    says.top = (await project('top', 'db')).code
    says.images = (await project('images', '--quiet')).code
    says.projects = await docker(host, [
      'compose',
      'ls',
      '--format',
      'json',
      '--filter',
      `name=${name}`,
    ])
    says.scaled = (await project('up', '--detach', '--scale', 'db=2', '--no-build')).code
    says.stop = (await project('stop', '--timeout', '5')).code
    says.down = await project('down', '--volumes', '--rmi', 'local')
    says.left = [
      await docker(host, ['ps', '--all']),
      await docker(host, ['volume', 'ls', '--filter', `name=${name}`]),
      await docker(host, ['network', 'ls', '--filter', `name=${name}`]),
    ]
    return says
  })

  await alike(t, pair, 'up in the foreground, until ctrl-C', async (host, name) => {
    const args = [
      'compose',
      '--progress',
      'quiet',
      '-p',
      name,
      '-f',
      join(folder, 'compose.yaml'),
      'up',
      '--no-color',
    ]
    const up = await startDocker(host, args)
    const errors = text(up.stderr)
    let shown = ''
    for await (const chunk of up.stdout.iterator({ destroyOnReturn: false })) {
      shown += chunk
      if (shown.includes('job-1 exited')) break
    }
    up.stdout.resume()
    up.kill('SIGINT')
    const [code] = await once(up, 'close')
    await succeed(host, [
      'compose',
      '-p',
      name,
      '-f',
      join(folder, 'compose.yaml'),
      'down',
      '--volumes',
      '--rmi',
      'local',
    ])
    await errors
    return { code, shown: sortLines(shown) }
  })

  await alike(t, pair, 'logs -f ends with the project', async (host, name) => {
    const project = (...args: string[]) => compose(host, name, ...args)
    await project('up', '--detach')
    const [followed] = await Promise.all([
      project('logs', '--follow', '--no-color', '--no-log-prefix'),
      new Promise((resolve) => setTimeout(resolve, 500)).then(() => project('kill')),
    ])
    await project('down', '--volumes', '--rmi', 'local')
    return followed
  })

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

/** The page that a published port of the engine serves. */
const httpGet = ({ engine }: Pair, port: number): Promise<string> =>
  engine.inside(
    'bash',
    '-c',
    `exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`,
  )
