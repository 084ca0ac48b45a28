/** BuildKit builds through berth: /grpc and /session carry contexts, secrets, results and errors. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { type DockerOptions, docker, type Host, type Ran } from '../../fixtures/docker.ts'
import { alike, sorted, startPair, succeed } from '../support/docker.ts'

const DOCKERFILE = `FROM busybox AS base
ARG A=none
COPY . /context
RUN echo "A is $A" && ls /context && test "$A" != fail

FROM base AS secretive
RUN --mount=type=secret,id=word cp /run/secrets/word /copied

FROM base AS final
LABEL a=b

FROM scratch AS files
COPY --from=secretive /copied /copied
COPY --from=base /context/a.txt /
`

const BAKE = `target "one" { target = "base" }
target "two" { target = "final" }
group "default" { targets = ["one", "two"] }
`

/** Lines that tell how long something took, how much of it was cached, and how far it had come. */
const PROGRESS =
  /^#\d+ (DONE|CACHED|copying|exporting|extracting|importing|loading|naming|preparing|resolving|sending|sha256:|transferring|unpacking|writing)/

/** BuildKit names the same failure after whichever of two calls reports it first. */
const BLAME = /failed to (solve|run Build function): /

/** The name of a step, which is printed anew, after an empty line, whenever news of another step came between. */
const STEP = /^#\d+ \[/

/** A build's result without its progress: steps, what they printed, errors. */
const steps = ({ code, stdout, stderr }: Ran): Ran => {
  const lines = stderr
    .split('\n')
    .filter((line) => line !== '' && !PROGRESS.test(line))
    .filter((line, at, all) => !STEP.test(line) || all.indexOf(line) === at)
  return sorted({ code, stdout, stderr: lines.join('\n').replace(BLAME, '') })
}

test('docker build with BuildKit', async (t) => {
  const pair = await startPair(t)
  const folder = t.testdir({
    context: {
      Dockerfile: DOCKERFILE,
      'a.txt': 'a',
      'bake.hcl': BAKE,
      large: 'x'.repeat(5_000_000),
    },
    word: 'hush',
  })
  const context = join(folder, 'context')

  const build = async (host: Host, args: readonly string[], options?: DockerOptions) =>
    steps(await docker(host, ['build', '--progress', 'plain', '--no-cache', ...args], options))

  await alike(t, pair, 'an image, with a build argument', async (host, name) => {
    const built = await build(host, [
      '--build-arg',
      'A=1',
      '--target',
      'final',
      '--tag',
      name,
      context,
    ])
    t.match(built.stderr, 'A is 1')
    const ran = await succeed(host, ['run', '--rm', name, 'ls', '/context'])
    await succeed(host, ['rmi', name])
    return { built, ran }
  })

  await alike(
    t,
    pair,
    'a step that fails, a file that is missing, a Dockerfile that is wrong',
    async (host) => [
      await build(host, ['--build-arg', 'A=fail', '--target', 'final', context]),
      await build(host, ['--file', join(context, 'no-such-file'), context]),
      await build(host, ['-'], { input: 'FROM busybox\nNONSENSE\n' }),
    ],
  )

  await alike(t, pair, 'a Dockerfile on stdin', async (host) => {
    const built = await docker(host, ['build', '--quiet', '-'], {
      input: 'FROM busybox\nRUN echo hi >/hi\n',
    })
    t.match(built.stdout, /^\n?sha256:/)
    return built.code
  })

  await alike(t, pair, '--secret goes in and --output comes out', async (host, name) => {
    const secret = ['--secret', `id=word,src=${join(folder, 'word')}`, '--target', 'files']
    const local = join(folder, name)
    const built = await build(host, [...secret, '--output', `type=local,dest=${local}`, context])
    t.strictSame((await readdir(local)).toSorted(), ['a.txt', 'copied'])
    t.equal(await readFile(join(local, 'copied'), 'utf8'), 'hush')
    const tar = await docker(host, [
      'build',
      ...secret,
      '--quiet',
      '--output',
      'type=tar,dest=-',
      context,
    ])
    t.match(tar.stdout, 'hush')
    const refused = await build(host, [
      '--target',
      'secretive',
      '--secret',
      'id=word,src=/no/file',
      context,
    ])
    return { built, tar: tar.code, refused }
  })

  await alike(t, pair, '5 MB of context arrive, and come back', async (host, name) => {
    const local = join(folder, `${name}-large`)
    const input = 'FROM scratch\nCOPY large /\n'
    await succeed(host, ['build', '--quiet', '--file', '-', '--output', local, context], { input })
    t.equal((await readFile(join(local, 'large'))).length, 5_000_000)
  })

  await alike(t, pair, 'four builds at once', async (host, name) => {
    const builds = [1, 2, 3, 4].map((number) =>
      build(host, ['--build-arg', `A=${name}-${number}`, '--target', 'final', context]),
    )
    return (await Promise.all(builds)).map(({ code }) => code)
  })

  await alike(t, pair, 'buildx inspect, du and bake', async (host) => {
    const baked = await docker(
      host,
      ['buildx', 'bake', '--progress', 'plain', '--file', 'bake.hcl'],
      { cwd: context },
    )
    const inspected = await docker(host, ['buildx', 'inspect', 'default'])
    const usage = await docker(host, ['buildx', 'du', '--format', '{{.Reclaimable}}'])
    return { baked: baked.code, inspected, usage: usage.code }
  })

  await alike(t, pair, 'what was built is pruned', async (host) => {
    const pruned = await docker(host, ['builder', 'prune', '--all', '--force'])
    t.match(pruned.stdout, 'Total')
    return pruned.code
  })
})
