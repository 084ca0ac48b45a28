import { test } from 'tap'
import { PREFACE, type Spoken, sniff } from '../../src/accept/sniff.ts'

test('each beginning of a connection means one thing', async (t) => {
  const rows: readonly (readonly [string, Spoken])[] = [
    ['', 'more'],
    ['G', 'h1'],
    ['GET /_ping', 'h1'],
    ['P', 'more'],
    ['PO', 'h1'],
    ['PU', 'h1'],
    ['PR', 'more'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r', 'more'],
    [PREFACE, 'h2'],
    [`${PREFACE}\0\0\0`, 'h2'],
    ['PRI * HTTP/1.1\r\n', 'neither'],
    ['PRI * HTTP/2.0\r\n\r\nGET', 'neither'],
    ['PROPFIND /', 'neither'],
    ['\x16\x03\x01', 'neither'],
    ['\0\xffSMB', 'neither'],
    ['get /', 'neither'],
    [' GET', 'neither'],
    ['\r\n', 'neither'],
    ['\n', 'neither'],
    ['SSH-2.0', 'h1'],
  ]
  for (const [seen, spoken] of rows) t.equal(sniff(seen), spoken, JSON.stringify(seen))
})

test('more bytes never take back what has been decided', async (t) => {
  const streams = [
    PREFACE,
    'POST /build HTTP/1.1\r\n',
    'PRI * HTTP/1.1\r\n',
    'PUT /x',
    '\x16\x03\x01\0',
  ]
  for (const stream of streams) {
    let decided: Spoken = 'more'
    for (let length = 0; length <= stream.length; length++) {
      const spoken = sniff(stream.slice(0, length))
      if (decided !== 'more') t.equal(spoken, decided)
      decided = spoken
    }
    t.not(decided, 'more', stream)
  }
})
