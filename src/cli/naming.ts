/** Says what is wrong with a value together with the key that it was written under. */
import { ConfigError } from '../config/config.ts'

/** Runs `action`; what it complains of is said with the key's name. */
export const naming = <T>(key: string, action: () => T): T => {
  try {
    return action()
  } catch (error) {
    throw new ConfigError(`${key}: ${(error as Error).message}`, { cause: error })
  }
}
