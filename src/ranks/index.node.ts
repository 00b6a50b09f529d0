/** The processes of one job: training over MPI. */

export type { Communicator, CommunicatorOptions } from './communicator.ts';
export { type Launched, launchedRanks } from './environment.node.ts';
export { joinRanks } from './mpi.node.ts';
