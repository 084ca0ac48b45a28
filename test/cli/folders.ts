/** Where a user's files are put. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { userFolder } from '../../src/cli/folders.ts'

test('a variable says where; empty or relative it says nothing', async (t) => {
  t.equal(userFolder({ XDG_CONFIG_HOME: '/srv/config' }, 'XDG_CONFIG_HOME'), '/srv/config/berth')
  const usual = join(homedir(), '.config', 'berth')
  for (const said of [undefined, '', 'here', './here'])
    t.equal(userFolder({ XDG_CONFIG_HOME: said }, 'XDG_CONFIG_HOME'), usual, String(said))
  t.equal(userFolder({}, 'XDG_CACHE_HOME'), join(homedir(), '.cache', 'berth'))
  t.equal(
    userFolder({ XDG_STATE_HOME: '' }, 'XDG_STATE_HOME'),
    join(homedir(), '.local/state/berth'),
  )
})
