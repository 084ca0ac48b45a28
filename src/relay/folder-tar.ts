/** A tar of empty folders (POSIX.1-1988 ustar): the only archive that berth ever writes. */

const BLOCK = 512
const NAME_BYTES = 100
const PREFIX_BYTES = 155
const CHECKSUM_AT = 148
const CHECKSUM_BYTES = 8

/** Splits a path that is too long for the name field, at a slash. */
const split = (path: string): { prefix: string; name: string } => {
  if (Buffer.byteLength(path) <= NAME_BYTES) return { prefix: '', name: path }
  for (
    let at = path.lastIndexOf('/', path.length - 2);
    at > 0;
    at = path.lastIndexOf('/', at - 1)
  ) {
    const prefix = path.slice(0, at)
    const name = path.slice(at + 1)
    if (Buffer.byteLength(name) <= NAME_BYTES && Buffer.byteLength(prefix) <= PREFIX_BYTES)
      return { prefix, name }
  }
  throw new RangeError(`too long for a tar: ${path}`)
}

const header = (path: string): Buffer => {
  const { prefix, name } = split(`${path}/`)
  const block = Buffer.alloc(BLOCK)
  block.write(name, 0)
  block.write(
    '0000755\0' + '0000000\0' + '0000000\0' + '00000000000\0' + '00000000000\0',
    NAME_BYTES,
  )
  block.fill(' ', CHECKSUM_AT, CHECKSUM_AT + CHECKSUM_BYTES)
  block.write('5', 156)
  block.write('ustar\x0000', 257)
  block.write(prefix, 345)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM_AT)
  return block
}

/** @param paths relative, without `.` and `..`; their parents are made too */
export const folderTar = (paths: readonly string[]): Buffer => {
  const all = new Set<string>()
  for (const path of paths) {
    const parts = path.split('/').filter((part) => part !== '')
    for (let depth = 1; depth <= parts.length; depth++) all.add(parts.slice(0, depth).join('/'))
  }
  return Buffer.concat([...[...all].map(header), Buffer.alloc(2 * BLOCK)])
}
