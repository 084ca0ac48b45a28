/** What one row of the Docker API table says, and how a row is written. */

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'

/** What the `{kind}` of a template names. `image` and `plugin` are references: they may hold `/`, `:` and `@`. */
export type PathKind =
  | 'container'
  | 'exec'
  | 'image'
  | 'volume'
  | 'network'
  | 'plugin'
  | 'service'
  | 'node'
  | 'task'
  | 'secret'
  | 'config'

/** What a value in a query or body names: an object of the engine's, or a place outside it. */
export type Named =
  | PathKind
  | 'checkpoint'
  | 'session'
  | 'build'
  | 'url'
  | 'host-path'
  | 'host-device'

/**
 * What the engine reads of a body. `none`: nothing. `import`: a tar when `fromSrc` is `-`, otherwise nothing.
 * What clients send to a POST that reads nothing is dropped, never forwarded (see content-type.ts).
 */
export type Body = 'none' | 'json' | 'tar' | 'import'

/**
 * What comes back. `json`: one document; `late`: one document that may come days after its head;
 * `lines`: JSON documents as things happen; `log`: a container's output; `stream`: the connection itself.
 */
export type Answer = 'empty' | 'text' | 'json' | 'late' | 'lines' | 'log' | 'tar' | 'stream'

/** Which protocol takes the connection over. `tcp` stands for Docker's raw stream. */
export type Hijack = 'none' | 'tcp' | 'h2c' | 'websocket'

/**
 * How the engine reads a query value. `prose` is text that may hold line ends; `filters` is the JSON of
 * https://docs.docker.com/reference/api/engine/ "filters"; `path` is a path inside a container or context;
 * `dropped` is read by no engine of today, but sent by real clients.
 */
export type QueryKind =
  | 'flag'
  | 'integer'
  | 'text'
  | 'prose'
  | 'json'
  | 'filters'
  | 'path'
  | 'dropped'

/** A kind with `[]` may be given several times. */
export type QueryType = QueryKind | 'text[]' | 'prose[]' | 'json[]'

export interface Route<Id extends string = string> {
  /** `resource.action`. */
  readonly id: Id
  readonly method: Method
  /** The path as the engine registers it, with at most one `{kind}`. */
  readonly template: string
  /** The template before and after its parameter; a template without one is all `before`. */
  readonly before: string
  readonly after: string
  readonly param: PathKind | undefined
  /** A second spelling of the path, which the engine serves as the same route. */
  readonly also: string | undefined
  readonly body: Body
  readonly answer: Answer
  readonly hijack: Hijack
  readonly query: ReadonlyMap<string, QueryType>
  /** What else the request names: `?key` is in the query, anything else a member of the body. */
  readonly names: Readonly<Record<string, Named | readonly Named[]>>
  /** GET or HEAD: may be sent again when a connection dies before it is answered. */
  readonly safe: boolean
}

/** The columns of a row that are not the same for most routes. */
interface Columns {
  readonly also?: string
  readonly body?: Body
  readonly answer?: Answer
  readonly hijack?: Hijack
  readonly query?: Readonly<Record<string, QueryType>>
  readonly names?: Route['names']
}

const PARAM = /\{([a-z]+)\}/

const row =
  (method: Method) =>
  <const Id extends string>(id: Id, template: string, columns: Columns = {}): Route<Id> => {
    const [before = '', param, after = ''] = template.split(PARAM)
    return {
      id,
      method,
      template,
      before,
      after,
      param: param as PathKind | undefined,
      also: columns.also,
      body: columns.body ?? 'none',
      answer: columns.answer ?? 'empty',
      hijack: columns.hijack ?? 'none',
      query: new Map(Object.entries(columns.query ?? {})),
      names: columns.names ?? {},
      safe: method === 'GET' || method === 'HEAD',
    }
  }

export const get = row('GET')
export const head = row('HEAD')
export const post = row('POST')
export const put = row('PUT')
export const del = row('DELETE')
