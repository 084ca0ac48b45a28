/** What programs are started with here. */

/** The environment of this process, without what tap adds for every Node below it: code that listens to signals, too. */
export const plainEnvironment = (): NodeJS.ProcessEnv => {
  const { NODE_OPTIONS: _, ...plain } = process.env
  return plain
}
