/** Uses a model and forgets it: the process must end by itself. Arguments: the model, and how. */
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { load } from '../../src/generation/load.node.ts';
import { loadHere } from '../../src/generation/load-here.node.ts';

const [path, how] = isMainThread ? process.argv.slice(2) : (workerData as string[]);
if (how === 'nested' && isMainThread) {
  new Worker(new URL(import.meta.url), { workerData: [path, 'loadHere'] });
} else {
  const model = await (how === 'loadHere' ? loadHere : load)(path!, { threads: 1 });
  const pieces = model.generate('밧줄', { maxTokens: 100, seed: 1, stopTokens: [] });
  const { value } = await pieces.next();
  process.stdout.write(typeof value === 'string' ? 'a piece\n' : 'nothing\n');
  if (how !== 'suspended') await pieces.return('stop');
  if (how === 'exit') {
    // While the model is at work.
    void collect(model.generate('밧줄', { maxTokens: 200, seed: 1, stopTokens: [] }));
    setTimeout(() => process.exit(3), 20 * Math.random());
  }
}

async function collect(items: AsyncIterable<string>): Promise<void> {
  for await (const _ of items);
}
