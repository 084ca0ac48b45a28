/** The API of Docker engines 20.10 to 29, one row a route; what is not here is not served. */

import { del, get, head, post, put } from './route.ts'

const ATTACH = {
  stdin: 'flag',
  stdout: 'flag',
  stderr: 'flag',
  stream: 'flag',
  logs: 'flag',
  detachKeys: 'text',
  hijack: 'dropped', // dockerode
} as const

const LOGS = {
  follow: 'flag',
  stdout: 'flag',
  stderr: 'flag',
  since: 'text',
  until: 'text',
  timestamps: 'flag',
  tail: 'text',
  details: 'flag',
  format: 'text',
} as const

const SIZE = { h: 'integer', w: 'integer' } as const
const STOP = { signal: 'text', t: 'integer' } as const
const FILTERS = { filters: 'filters' } as const
const VERSION = { version: 'integer' } as const

/**
 * Left out on purpose: `OPTIONS` of any path (it answers 200 to everything), `/debug/` (memory and profiles
 * of the engine), `/containers/{name}/copy` (gone since API 1.24), and DELETE of a checkpoint, which removes
 * a directory of the host and shadows the removal of a container whose name holds a slash.
 */
export const ROUTES = [
  // system
  get('system.ping', '/_ping', { answer: 'text' }),
  head('system.ping', '/_ping'),
  get('system.info', '/info', { answer: 'json' }),
  get('system.version', '/version', { answer: 'json' }),
  get('system.df', '/system/df', { answer: 'json', query: { type: 'text[]', verbose: 'flag' } }),
  get('system.events', '/events', {
    answer: 'lines',
    query: { since: 'text', until: 'text', filters: 'filters' },
  }),
  post('system.auth', '/auth', { body: 'json', answer: 'json', names: { serveraddress: 'url' } }),

  // containers
  get('container.list', '/containers/json', {
    answer: 'json',
    query: {
      all: 'flag',
      limit: 'integer',
      size: 'flag',
      filters: 'filters',
      trunc_cmd: 'dropped', // docker-py, as the next two
      since: 'dropped',
      before: 'dropped',
    },
    names: {
      '?filters.ancestor': 'image',
      '?filters.before': 'container',
      '?filters.since': 'container',
      '?filters.volume': 'volume',
      '?filters.network': 'network',
    },
  }),
  post('container.create', '/containers/create', {
    body: 'json',
    answer: 'json',
    query: { name: 'text', platform: 'text' },
    names: {
      '?name': 'container',
      Image: 'image',
      'HostConfig.NetworkMode': ['network', 'container'],
      'HostConfig.PidMode': 'container',
      'HostConfig.IpcMode': 'container',
      'HostConfig.Cgroup': 'container',
      'HostConfig.VolumesFrom[]': 'container',
      'HostConfig.Links[]': 'container',
      'HostConfig.Binds[]': ['volume', 'host-path'],
      'HostConfig.Mounts[].Source': ['volume', 'host-path', 'image'],
      'NetworkingConfig.EndpointsConfig.*': 'network',
      'NetworkingConfig.EndpointsConfig.*.NetworkID': 'network', // wins over the key
      'NetworkingConfig.EndpointsConfig.*.Links[]': 'container',
    },
  }),
  post('container.prune', '/containers/prune', { answer: 'json', query: FILTERS }),
  get('container.inspect', '/containers/{container}/json', {
    answer: 'json',
    query: { size: 'flag' },
  }),
  get('container.top', '/containers/{container}/top', {
    answer: 'json',
    query: { ps_args: 'text' },
  }),
  get('container.logs', '/containers/{container}/logs', { answer: 'log', query: LOGS }),
  get('container.stats', '/containers/{container}/stats', {
    answer: 'lines',
    query: { stream: 'flag', 'one-shot': 'flag' },
  }),
  get('container.changes', '/containers/{container}/changes', { answer: 'json' }),
  get('container.export', '/containers/{container}/export', { answer: 'tar' }),
  head('container.stat-archive', '/containers/{container}/archive', { query: { path: 'path' } }),
  get('container.get-archive', '/containers/{container}/archive', {
    answer: 'tar',
    query: { path: 'path' },
  }),
  put('container.put-archive', '/containers/{container}/archive', {
    body: 'tar',
    query: { path: 'path', noOverwriteDirNonDir: 'flag', copyUIDGID: 'flag' },
  }),
  post('container.attach', '/containers/{container}/attach', {
    answer: 'stream',
    hijack: 'tcp',
    query: ATTACH,
  }),
  get('container.attach-ws', '/containers/{container}/attach/ws', {
    answer: 'stream',
    hijack: 'websocket',
    query: ATTACH,
  }),
  post('container.start', '/containers/{container}/start', {
    query: { checkpoint: 'text', 'checkpoint-dir': 'path' },
    names: { '?checkpoint': 'checkpoint', '?checkpoint-dir': 'host-path' },
  }),
  post('container.stop', '/containers/{container}/stop', { query: STOP }),
  post('container.restart', '/containers/{container}/restart', { query: STOP }),
  post('container.kill', '/containers/{container}/kill', { query: { signal: 'text' } }),
  post('container.pause', '/containers/{container}/pause'),
  post('container.unpause', '/containers/{container}/unpause'),
  post('container.wait', '/containers/{container}/wait', {
    answer: 'late',
    query: { condition: 'text' },
  }),
  post('container.resize', '/containers/{container}/resize', { query: SIZE }),
  post('container.rename', '/containers/{container}/rename', {
    query: { name: 'text' },
    names: { '?name': 'container' },
  }),
  post('container.update', '/containers/{container}/update', { body: 'json', answer: 'json' }),
  del('container.remove', '/containers/{container}', {
    query: { force: 'flag', v: 'flag', link: 'flag' },
  }),
  get('checkpoint.list', '/containers/{container}/checkpoints', {
    answer: 'json',
    query: { dir: 'path' },
    names: { '?dir': 'host-path' },
  }),
  post('checkpoint.create', '/containers/{container}/checkpoints', {
    body: 'json',
    names: { CheckpointID: 'checkpoint', CheckpointDir: 'host-path' },
  }),

  // exec
  post('exec.create', '/containers/{container}/exec', { body: 'json', answer: 'json' }),
  post('exec.start', '/exec/{exec}/start', { body: 'json', answer: 'stream', hijack: 'tcp' }),
  post('exec.resize', '/exec/{exec}/resize', { query: SIZE }),
  get('exec.inspect', '/exec/{exec}/json', { answer: 'json' }),

  // images
  get('image.list', '/images/json', {
    answer: 'json',
    query: {
      all: 'flag',
      filters: 'filters',
      'shared-size': 'flag',
      manifests: 'flag',
      identity: 'flag',
      filter: 'text', // before API 1.25
      digests: 'dropped',
      only_ids: 'dropped', // docker-py, as the next one
      viz: 'dropped',
    },
    names: { '?filters.before': 'image', '?filters.since': 'image', '?filter': 'image' },
  }),
  get('image.search', '/images/search', {
    answer: 'json',
    query: { term: 'text', limit: 'integer', filters: 'filters' },
    names: { '?term': 'url' },
  }),
  post('image.create', '/images/create', {
    body: 'import',
    answer: 'lines',
    query: {
      fromImage: 'text',
      fromSrc: 'text',
      repo: 'text',
      tag: 'text',
      message: 'prose',
      platform: 'text',
      changes: 'prose[]',
    },
    names: { '?fromImage': 'image', '?fromSrc': 'url', '?repo': 'image', '?tag': 'image' },
  }),
  post('image.load', '/images/load', {
    body: 'tar',
    answer: 'lines',
    query: { quiet: 'flag', platform: 'json[]' },
  }),
  get('image.save-many', '/images/get', {
    answer: 'tar',
    query: { names: 'text[]', platform: 'json[]' },
    names: { '?names': 'image' },
  }),
  get('image.save', '/images/{image}/get', { answer: 'tar', query: { platform: 'json[]' } }),
  get('image.inspect', '/images/{image}/json', {
    answer: 'json',
    query: { manifests: 'flag', platform: 'json' },
  }),
  get('image.history', '/images/{image}/history', { answer: 'json', query: { platform: 'json' } }),
  get('image.attestations', '/images/{image}/attestations', {
    answer: 'json',
    query: { platform: 'json', type: 'text[]', statement: 'flag' },
  }),
  post('image.push', '/images/{image}/push', {
    answer: 'lines',
    query: { tag: 'text', platform: 'json' },
  }),
  post('image.tag', '/images/{image}/tag', {
    query: { repo: 'text', tag: 'text', force: 'dropped' }, // docker-py still forces
    names: { '?repo': 'image', '?tag': 'image' },
  }),
  post('image.prune', '/images/prune', { answer: 'json', query: FILTERS }),
  del('image.remove', '/images/{image}', {
    answer: 'json',
    query: { force: 'flag', noprune: 'flag', platforms: 'json[]' },
  }),
  post('image.commit', '/commit', {
    body: 'json',
    answer: 'json',
    query: {
      container: 'text',
      repo: 'text',
      tag: 'text',
      comment: 'prose',
      author: 'prose',
      pause: 'flag',
      changes: 'prose[]',
    },
    names: { '?container': 'container', '?repo': 'image', '?tag': 'image' },
  }),
  get('distribution.inspect', '/distribution/{image}/json', { answer: 'json' }),

  // builds
  post('build.start', '/build', {
    body: 'tar',
    answer: 'lines',
    query: {
      dockerfile: 'path',
      t: 'text[]',
      extrahosts: 'text[]',
      securityopt: 'text[]',
      remote: 'text',
      q: 'flag',
      nocache: 'flag',
      rm: 'flag',
      forcerm: 'flag',
      pull: 'flag',
      memory: 'integer',
      memswap: 'integer',
      cpushares: 'integer',
      cpuperiod: 'integer',
      cpuquota: 'integer',
      cpusetcpus: 'text',
      cpusetmems: 'text',
      cgroupparent: 'text',
      networkmode: 'text',
      squash: 'flag',
      target: 'text',
      session: 'text',
      buildid: 'text',
      platform: 'text',
      outputs: 'json',
      shmsize: 'integer',
      isolation: 'text',
      ulimits: 'json',
      buildargs: 'json',
      labels: 'json',
      cachefrom: 'json',
      version: 'text',
    },
    names: {
      '?t': 'image',
      '?remote': 'url',
      '?networkmode': ['network', 'container'],
      '?session': 'session',
      '?buildid': 'build',
      '?cachefrom': 'image',
    },
  }),
  post('build.prune', '/build/prune', {
    answer: 'json',
    query: {
      all: 'flag',
      filters: 'filters',
      'reserved-space': 'integer',
      'max-used-space': 'integer',
      'min-free-space': 'integer',
      'keep-storage': 'integer',
    },
  }),
  post('build.cancel', '/build/cancel', { query: { id: 'text' }, names: { '?id': 'build' } }),
  post('session.open', '/session', { answer: 'stream', hijack: 'h2c' }),
  post('grpc.open', '/grpc', { answer: 'stream', hijack: 'h2c' }),

  // volumes
  get('volume.list', '/volumes', { answer: 'json', query: FILTERS }),
  post('volume.create', '/volumes/create', {
    body: 'json',
    answer: 'json',
    names: { Name: 'volume', Driver: 'plugin', 'DriverOpts.device': ['host-path', 'host-device'] },
  }),
  post('volume.prune', '/volumes/prune', { answer: 'json', query: FILTERS }),
  get('volume.inspect', '/volumes/{volume}', { answer: 'json' }),
  put('volume.update', '/volumes/{volume}', { body: 'json', query: VERSION }),
  del('volume.remove', '/volumes/{volume}', { query: { force: 'flag' } }),

  // networks
  get('network.list', '/networks', { also: '/networks/', answer: 'json', query: FILTERS }),
  post('network.create', '/networks/create', {
    body: 'json',
    answer: 'json',
    names: {
      Name: 'network',
      Driver: 'plugin',
      'IPAM.Driver': 'plugin',
      'ConfigFrom.Network': 'network',
      'Options.parent': 'host-device',
      'Options.com.docker.network.bridge.name': 'host-device',
    },
  }),
  post('network.prune', '/networks/prune', { answer: 'json', query: FILTERS }),
  get('network.inspect', '/networks/{network}', {
    answer: 'json',
    query: { verbose: 'flag', scope: 'text' },
  }),
  post('network.connect', '/networks/{network}/connect', {
    body: 'json',
    names: {
      Container: 'container',
      'EndpointConfig.NetworkID': 'network', // wins over the path
      'EndpointConfig.Links[]': 'container',
    },
  }),
  post('network.disconnect', '/networks/{network}/disconnect', {
    body: 'json',
    names: { Container: 'container' },
  }),
  del('network.remove', '/networks/{network}'),

  // plugins
  get('plugin.list', '/plugins', { answer: 'json', query: FILTERS }),
  get('plugin.privileges', '/plugins/privileges', {
    answer: 'json',
    query: { remote: 'text' },
    names: { '?remote': 'plugin' },
  }),
  post('plugin.pull', '/plugins/pull', {
    body: 'json',
    answer: 'lines',
    query: { remote: 'text', name: 'text' },
    names: { '?remote': 'plugin', '?name': 'plugin' },
  }),
  post('plugin.create', '/plugins/create', {
    body: 'tar',
    query: { name: 'text' },
    names: { '?name': 'plugin' },
  }),
  get('plugin.inspect', '/plugins/{plugin}/json', { answer: 'json' }),
  post('plugin.enable', '/plugins/{plugin}/enable', { query: { timeout: 'integer' } }),
  post('plugin.disable', '/plugins/{plugin}/disable', { query: { force: 'flag' } }),
  post('plugin.push', '/plugins/{plugin}/push', { answer: 'lines' }),
  post('plugin.upgrade', '/plugins/{plugin}/upgrade', {
    body: 'json',
    answer: 'lines',
    query: { remote: 'text' },
    names: { '?remote': 'plugin' },
  }),
  post('plugin.set', '/plugins/{plugin}/set', { body: 'json' }),
  del('plugin.remove', '/plugins/{plugin}', { query: { force: 'flag' } }),

  // swarm
  get('swarm.inspect', '/swarm', { answer: 'json' }),
  get('swarm.unlock-key', '/swarm/unlockkey', { answer: 'json' }),
  post('swarm.init', '/swarm/init', { body: 'json', answer: 'json' }),
  post('swarm.join', '/swarm/join', { body: 'json' }),
  post('swarm.leave', '/swarm/leave', { query: { force: 'flag' } }),
  post('swarm.unlock', '/swarm/unlock', { body: 'json' }),
  post('swarm.update', '/swarm/update', {
    body: 'json',
    query: {
      version: 'integer',
      rotateWorkerToken: 'flag',
      rotateManagerToken: 'flag',
      rotateManagerUnlockKey: 'flag',
    },
  }),
  get('service.list', '/services', {
    answer: 'json',
    query: { filters: 'filters', status: 'flag' },
  }),
  post('service.create', '/services/create', { body: 'json', answer: 'json' }),
  get('service.inspect', '/services/{service}', {
    answer: 'json',
    query: { insertDefaults: 'flag' },
  }),
  get('service.logs', '/services/{service}/logs', { answer: 'log', query: LOGS }),
  post('service.update', '/services/{service}/update', {
    body: 'json',
    answer: 'json',
    query: { version: 'integer', registryAuthFrom: 'text', rollback: 'text' },
  }),
  del('service.remove', '/services/{service}'),
  get('node.list', '/nodes', { answer: 'json', query: FILTERS }),
  get('node.inspect', '/nodes/{node}', { answer: 'json' }),
  post('node.update', '/nodes/{node}/update', { body: 'json', query: VERSION }),
  del('node.remove', '/nodes/{node}', { query: { force: 'flag' } }),
  get('task.list', '/tasks', { answer: 'json', query: FILTERS }),
  get('task.inspect', '/tasks/{task}', { answer: 'json' }),
  get('task.logs', '/tasks/{task}/logs', { answer: 'log', query: LOGS }),
  get('secret.list', '/secrets', { answer: 'json', query: FILTERS }),
  post('secret.create', '/secrets/create', { body: 'json', answer: 'json' }),
  get('secret.inspect', '/secrets/{secret}', { answer: 'json' }),
  post('secret.update', '/secrets/{secret}/update', { body: 'json', query: VERSION }),
  del('secret.remove', '/secrets/{secret}'),
  get('config.list', '/configs', { answer: 'json', query: FILTERS }),
  post('config.create', '/configs/create', { body: 'json', answer: 'json' }),
  get('config.inspect', '/configs/{config}', { answer: 'json' }),
  post('config.update', '/configs/{config}/update', { body: 'json', query: VERSION }),
  del('config.remove', '/configs/{config}'),
] as const

/** A route of the table; its `id` is one of the ids written there, which policy tables are checked against. */
export type KnownRoute = (typeof ROUTES)[number]
export type RouteId = KnownRoute['id']
