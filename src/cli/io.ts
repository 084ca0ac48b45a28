/** What commands may do to the world outside: handed in by main.ts, replaced by tests. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>
  out(line: string): void
  err(line: string): void
  /**
   * Resolves with the name of the next SIGTERM, SIGINT or SIGHUP. Until it is called for the first time they end the
   * process, as they do everywhere.
   */
  signal(): Promise<string>
}

/** An error that a command reports and ends with: its message is all that the user sees. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  /** 2: the command was used wrongly. 1: what it wants cannot be had as things are. 70: a process of its own found a bug. */
  readonly exitCode: 1 | 2 | 70

  constructor(
    message: string,
    { exitCode = 2, cause }: { exitCode?: 1 | 2 | 70; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.exitCode = exitCode
  }
}
