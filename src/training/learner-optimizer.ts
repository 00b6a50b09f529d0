import type { Engine } from '../runtime/engine.ts';
import type { Learner } from './learner.ts';
import { createDeviceOptimizer } from './on-device/create-device-optimizer.ts';
import { createOptimizer, type OptimizerKind, type OptimizerOptions } from './optimizers/create-optimizer.ts';
import type { Optimizer } from './optimizers/optimizer.ts';

/**
 * An optimizer for the trained weights of a learner, where they are: in arrays of the host, or on the engine's device. It is
 * released with the learner.
 *
 * @throws RopewalkError where the optimizer, or one of its options, cannot be used on the device.
 */
export async function createLearnerOptimizer(
  engine: Engine,
  { parameters, onDevice }: Learner,
  kind: OptimizerKind,
  options: OptimizerOptions = {},
): Promise<Optimizer> {
  if (!onDevice) return createOptimizer(kind, parameters, options);
  const { memory, parameters: trained, updates } = onDevice;
  const optimizer = await createDeviceOptimizer(engine, memory, kind, trained, options);
  onDevice.releaseToo(optimizer);
  await optimizer.prepare(updates);
  return optimizer;
}
