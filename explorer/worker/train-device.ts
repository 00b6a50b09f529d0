import { RopewalkError } from '../../src/errors.ts';
import { DeviceError } from '../../src/runtime/device-errors.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { AGREEMENT } from './choose-engine.ts';
import { findAdapter, wasmEngine, wasmThreads, webgpuEngine } from './engine.ts';
import type { TrainDevice, WantedDevice } from './train-protocol.ts';
import type { PageTraining } from './training.ts';

/** The models of a run, and what they train on. */
export interface Begun {
  readonly trainings: readonly PageTraining[];
  readonly device: TrainDevice;
}

/**
 * Begins a run: on WebGPU where the browser has it and its first loss and gradients agree with WebAssembly's; else on
 * WebAssembly. By itself it takes no adapter that computes in software, which is slower.
 */
export async function beginRun(
  wanted: WantedDevice,
  begin: (engine: Engine) => Promise<readonly PageTraining[]>,
): Promise<Begun> {
  const wasm = await wasmEngine();
  const onWasm = async (why: TrainDevice['why'], more: Partial<TrainDevice> = {}): Promise<Begun> => ({
    trainings: await begin(wasm),
    device: onWebAssembly(why, more),
  });
  if (wanted === 'wasm') return onWasm('chosen');
  const adapter = await findAdapter();
  if (!adapter) return onWasm('none');
  if (adapter.isSoftware && wanted === 'auto') return onWasm('software');
  let trainings: readonly PageTraining[] = [];
  try {
    trainings = await begin((await webgpuEngine())!);
    const reference = await begin(wasm);
    const difference = await largestDifference(reference, trainings);
    // One that is not a number does not agree.
    if (!(difference <= AGREEMENT)) {
      release(trainings);
      return { trainings: reference, device: onWebAssembly('differs', { difference }) };
    }
    release(reference);
    return { trainings, device: { kind: 'webgpu', threads: 1, why: 'agrees', difference } };
  } catch (error) {
    release(trainings);
    return onWasm(...endOf(error));
  }
}

/**
 * Goes on with a run on WebAssembly, from what was kept.
 *
 * @returns undefined where the device is not the cause.
 */
export async function continueOnWasm(
  { trainings, device }: Begun,
  error: unknown,
  begin: (engine: Engine) => Promise<readonly PageTraining[]>,
): Promise<Begun | undefined> {
  if (device.kind === 'wasm' || (error instanceof RopewalkError && !causeOf(error))) return undefined;
  const [why, more] = endOf(error);
  release(trainings);
  const since = Math.min(...trainings.map(({ kept }) => kept.step));
  return { trainings: await begin(await wasmEngine()), device: onWebAssembly(why, { ...more, since }) };
}

function onWebAssembly(why: TrainDevice['why'], more: Partial<TrainDevice>): TrainDevice {
  return { kind: 'wasm', threads: wasmThreads(), why, ...more };
}

/** Why WebGPU ended. */
function endOf(error: unknown): [TrainDevice['why'], Partial<TrainDevice>] {
  const cause = causeOf(error);
  if (cause) return [cause.problem, {}];
  return ['failed', { problem: error instanceof Error ? error.message : String(error) }];
}

/** The device's error behind an error. */
function causeOf(error: unknown): DeviceError | undefined {
  if (error instanceof DeviceError) return error;
  return error instanceof Error && error.cause !== undefined ? causeOf(error.cause) : undefined;
}

async function largestDifference(
  expected: readonly PageTraining[],
  found: readonly PageTraining[],
): Promise<number> {
  let largest = 0;
  for (const [i, training] of found.entries()) {
    const [right, got] = [await expected[i]!.probe(), await training.probe()];
    for (const key of ['loss', 'gradientNorm'] as const) {
      const difference = Math.abs(got[key] - right[key]) / right[key];
      // Also where it is not a number.
      if (!(difference <= largest)) largest = difference;
    }
  }
  return largest;
}

/** Nobody waits for it: where the device is gone, the engine may never answer. */
function release(trainings: readonly PageTraining[]): void {
  for (const training of trainings) training.release().catch(() => {});
}
