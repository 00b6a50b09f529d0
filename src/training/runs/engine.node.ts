import type { Communicator } from '../../ranks/communicator.ts';
import { coresPerRank } from '../../ranks/cores.node.ts';
import type { DeviceLimits } from '../../runtime/device-limits.ts';
import { checkDevice, type Device, type Precision } from '../../runtime/devices.ts';
import { nodeEngine } from '../../runtime/engine.node.ts';
import type { Engine } from '../../runtime/engine.ts';
import { isSoftwareWebgpu } from '../../runtime/webgpu.node.ts';

/** What computes a run. */
export interface EngineOptions {
  /** An engine instead of one of this machine's processor. */
  readonly engine?: Engine | undefined;
  /** Where it computes. Default: the processor. */
  readonly device?: Device | undefined;
  /** What the device computes in, where it offers a choice; weights stay float32. Default float32. */
  readonly precision?: Precision | undefined;
  /** Threads of the engine. Default: its own choice, or where there are several ranks, this machine's cores shared by them. */
  readonly threads?: number | undefined;
  /** Processes that train together: see `joinRanks`. Each is given the same options. */
  readonly ranks?: Communicator | undefined;
}

/** What a user should know of a run's device before it begins. */
export function deviceWarnings({ defaults }: Engine): string[] {
  return defaults.provider === 'webgpu' && isSoftwareWebgpu()
    ? ['WebGPU computes in software here, which is far slower than the CPU: no graphics card was found.']
    : [];
}

export function engineFor({ engine, device = 'cpu', precision, threads, ranks }: EngineOptions): Engine {
  if (engine) return engine;
  const chosen = threads ?? (ranks && coresPerRank(ranks));
  return nodeEngine({
    provider: checkDevice(device),
    ...(precision !== undefined && { precision }),
    ...(chosen !== undefined && { threads: chosen }),
  });
}

/** What is known of the device of an engine; undefined for one that computes in this machine's memory. */
export async function deviceOf({ openMemory, limits }: Engine): Promise<DeviceLimits | undefined> {
  return openMemory && ((await limits?.()) ?? {});
}
