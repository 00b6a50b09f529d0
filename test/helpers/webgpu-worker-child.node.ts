/** Leaves a model in a worker thread on WebGPU: `node child.js <model> <how>`. The process must end without a crash. */
import { load } from '../../src/generation/load.node.ts';

const [path, how] = process.argv.slice(2);
const model = await load(path!, { threads: 1, device: 'webgpu' });
const pieces = model.generate('밧줄', { maxTokens: 100, seed: 1, stopTokens: [] });
const { value } = await pieces.next();
process.stdout.write(typeof value === 'string' ? 'a piece\n' : 'nothing\n');
// Suspended, it is forgotten while the thread is at work on the next tokens.
if (how === 'release') await model.release();
if (how === 'exit') process.exit(3);
