import { kernelModule } from '../../kernels/kernel-module.ts';
import { HelperThread } from '../../kernels/threads/helper-thread.node.ts';
import { type RowTarget, type RowTask, rowShare } from './share.ts';

/** The program of a helper thread: `rowShare` for every task that it is sent. */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads');
const take = (${rowShare})(require('node:fs'), workerData.kernels);
parentPort.on('message', ({ task, target, thread }) => {
  try { take(task, target, thread); } catch {}
  parentPort.postMessage(0);
});
`;

/** A thread that takes batches of a task. */
export class Helper extends HelperThread {
  constructor() {
    super(PROGRAM, { kernels: kernelModule() });
  }

  /**
   * Resolves when the thread has no more to do, or has ended. What it finished is marked in the task.
   *
   * @param target arrays on shared memory
   */
  work(task: RowTask, target: RowTarget, thread: number): Promise<void> {
    return this.answer({ task, target, thread });
  }
}
