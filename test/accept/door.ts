/** Doors that cannot be opened: what is there stays as it was, and a sentence says which one and why. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { parseListenAddress } from '../../src/accept/address.ts'
import { openDoors } from '../../src/accept/door.ts'
import { endingOf } from '../../src/cli/ending.ts'

const open = (...urls: readonly string[]) => openDoors(urls.map(parseListenAddress), () => {})

/** With a path that is short enough for a socket. */
const folder = (t: Test): string => {
  const path = mkdtempSync(join(tmpdir(), 'berth-door-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  writeFileSync(join(path, 'file'), 'precious')
  return path
}

/** How berth ends where one of these cannot be listened on. */
const refused = async (...urls: readonly string[]) => {
  try {
    for (const door of await open(...urls)) door.close()
    return undefined
  } catch (error) {
    return endingOf(error)
  }
}

test('what is no socket stays where it is', async (t) => {
  const path = folder(t)
  mkdirSync(join(path, 'folder'))
  symlinkSync('file', join(path, 'link'))
  const rows: readonly (readonly [name: string, says: RegExp])[] = [
    ['file', /file: a file is there, .* nothing but sockets; move it away/],
    ['folder', /folder: a folder is there/],
    ['link', /link: a symbolic link is there/],
    ['file/below', /below: .*ENOTDIR/],
    ['nowhere/socket', /socket: its folder does not exist; make it/],
  ]
  for (const [name, says] of rows) {
    const url = `unix://${path}/${name}`
    t.match(await refused(url), { exitCode: 2, says: `listen: ${url}: ` }, name)
    t.match(await refused(url), { says })
  }
  t.equal(readFileSync(join(path, 'link'), 'utf8'), 'precious')
})

test('an address that somebody has is refused by its name, of whatever kind', async (t) => {
  const [door, socket] = await open('tcp://127.0.0.1:0', `unix://${folder(t)}/berth.sock`)
  for (const url of [door!.url, socket!.url])
    t.match(await refused(url), {
      exitCode: 2,
      says: `listen: ${url}: another process listens there; stop that one`,
    })
  door!.close()
  socket!.close()
})

test('doors are opened all or none', async (t) => {
  const path = folder(t)
  const socket = join(path, 'berth.sock')
  t.match(await refused(`unix://${socket}`, `unix://${path}/file`), { exitCode: 2 })
  t.notOk(existsSync(socket), 'nothing is left of the first')
})
