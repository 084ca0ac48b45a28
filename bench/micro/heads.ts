/** Heads that the micro benches read: what docker 28 asks, and what its engine answers. */

export const REQUEST = [
  'GET /v1.51/containers/json?all=1&filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D HTTP/1.1',
  'Host: localhost',
  'User-Agent: Docker-Client/28.5.2 (linux)',
  'Accept-Encoding: gzip',
  'Traceparent: 00-5af2b4c81b1f4c6d8f0a3d2e1c0b9a87-1f2e3d4c5b6a7988-01',
].join('\r\n')

export const RESPONSE = [
  'HTTP/1.1 200 OK',
  'Api-Version: 1.51',
  'Content-Type: application/json',
  'Docker-Experimental: false',
  'Ostype: linux',
  'Server: Docker/28.5.2 (linux)',
  'Date: Sat, 22 Nov 2025 00:00:00 GMT',
  'Transfer-Encoding: chunked',
].join('\r\n')
