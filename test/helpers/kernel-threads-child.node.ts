/** Updates a weight on two threads and ends, while the helper is still there. */
import { helperCount, kernelThreads } from '../../src/kernels/threads/kernel-threads.node.ts';
import { HostMemory } from '../../src/runtime/host-memory.ts';
import { AdamW, allocateTrainable } from '../../src/training/optimizers/optimizer.ts';

const memory = new HostMemory(kernelThreads(2));
const [weight] = allocateTrainable(memory, [{ name: 'w', shape: [1024, 1024] }]);
weight!.gradient.fill(1);
new AdamW([weight!]).step([weight!], { learningRate: 0.5 });
console.log(JSON.stringify({ helpers: helperCount(), done: weight!.value.every((x) => x < -0.49) }));
