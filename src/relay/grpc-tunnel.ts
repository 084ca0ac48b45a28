/** Splices a gRPC connection into an engine's POST /grpc, unread: the fast road of builds. */
import type { Conduit } from '../transport/conduit.ts'
import { dial } from '../upstream/dial.ts'
import { type GrpcTarget, upgradeToGrpc } from '../upstream/h2.ts'
import { type Spliced, splice } from './splice.ts'

/**
 * @param client held, with its preface and whatever it has said since still to be delivered
 * @returns when the engine is ready, what resolves when both connections are gone
 * @throws Failure when the engine cannot be had; the client has heard nothing yet
 */
export const tunnel = async (
  client: Conduit,
  target: GrpcTarget,
): Promise<{ readonly spliced: Promise<Spliced> }> => {
  if (target.kind === 'buildkitd') return { spliced: splice(client, await dial(target.address)) }
  const connection = await upgradeToGrpc(target.pool)
  const spliced = splice(client, connection.conduit)
  return {
    spliced: spliced.finally(() => target.pool.release(connection, false)),
  }
}
