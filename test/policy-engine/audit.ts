/** Mode `audit` on a real engine: everything works as without berth, and what would have been refused is told. */
import { test } from 'tap'
import { docker } from '../../fixtures/docker.ts'
import { startEngine } from '../../fixtures/engine.ts'
import { startBerth } from '../support/berth.ts'
import { succeed } from '../support/docker.ts'

interface Line {
  readonly msg: string
  readonly path?: string
  readonly route?: string
  readonly policy?: string
  readonly why?: string
}

test('audit refuses nothing, changes nothing, and tells what it would have done', async (t) => {
  const engine = await startEngine()
  t.teardown(() => engine.stop())
  const config = t.testdir({
    'berth.yaml': `profile: trial
policies: { trial: { mode: audit, images: [registry.example.com/**], localImages: false, runAs: 10001 } }
`,
  })
  const berth = await startBerth({ engine: engine.url, args: ['--config', `${config}/berth.yaml`] })
  t.teardown(() => berth.stop())
  const told = (): Line[] =>
    berth
      .log()
      .split('\n')
      .filter((line) => line.includes('"would be '))
      .map((line) => JSON.parse(line))

  await succeed(berth, ['run', '-d', '--name', 'other', 'busybox', 'sleep', '1000'])
  const powerful = ['--privileged', '--pid', 'container:other', '-v', '/etc:/e:ro', 'busybox']
  const ran = await docker(berth, ['run', '--rm', ...powerful, 'sh', '-c', 'id -u; ls /e/passwd'])
  t.match(ran, { code: 0, stdout: '0\n/e/passwd\n' })
  t.equal(ran.stderr, '', 'no warning says what is not so')
  t.equal(await succeed(engine, ['volume', 'ls', '-q']), '', 'nothing was made for it')
  for (const path of ['HostConfig.Privileged', 'HostConfig.Binds[0]', 'Image']) {
    const line = told().find((one) => one.path === path)
    t.match(line, { msg: 'would be refused', route: '/containers/create', policy: 'trial' }, path)
  }

  const host = ['build', '--network', 'host', '--allow', 'network.host', '-']
  const built = await docker(berth, host, { input: 'FROM busybox\nRUN --network=host true\n' })
  t.equal(built.code, 0, built.stderr)
  t.ok(
    told().find(({ path, why }) => path === 'grpc.open.entitlements' && /network\.host/.test(why!)),
  )
  await succeed(berth, ['swarm', 'init', '--advertise-addr', '127.0.0.1'])
  t.ok(told().find(({ route }) => route === '/swarm/init'))
})
