import type { CausalLM } from '../../src/families/family.ts';
import { TapRunner } from '../../src/generation/taps/taps.ts';
import type { WeightSource } from '../../src/onnx/weights.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { wasmEngine, wasmThreads, webgpuEngine } from './engine.ts';
import type { EngineChoice } from './protocol.ts';

/** How far WebGPU's numbers may be from WebAssembly's: logits as a share of the largest. */
export const AGREEMENT = 1e-4;
/** Tokens of the check. */
const CHECKED = 12;

/** Why WebGPU is not used any more; undefined while nothing has failed. */
let problem: string | undefined;

/** After WebGPU has failed in a run: models that are opened from now on run on WebAssembly. */
export function giveUpWebgpu(reason: string): void {
  problem = reason;
}

/** WebGPU where the browser has it and its logits agree with WebAssembly's on this very model; else WebAssembly. */
export async function chooseEngine(
  model: CausalLM,
  weights: ReadonlyMap<string, WeightSource>,
): Promise<{ readonly engine: Engine; readonly choice: EngineChoice }> {
  const wasm = await wasmEngine();
  const fallback = (why: EngineChoice['why'], more: Partial<EngineChoice> = {}) => ({
    engine: wasm,
    choice: { kind: 'wasm', threads: wasmThreads(), why, ...more } as const,
  });
  if (problem !== undefined) return fallback('failed', { problem });
  let webgpu: Engine | undefined;
  let difference: number;
  try {
    webgpu = await webgpuEngine();
    if (!webgpu) return fallback('none');
    const ids = Int32Array.from(
      { length: Math.min(CHECKED, model.maxPositions) },
      (_, i) => (7 * i + 1) % model.config.vocab_size,
    );
    const found = await logitsOn(webgpu, model, weights, ids);
    difference = relativeDifference(await logitsOn(wasm, model, weights, ids), found);
  } catch (error) {
    giveUpWebgpu(error instanceof Error ? error.message : String(error));
    return fallback('failed', { problem: problem! });
  }
  // One that is not a number does not agree.
  if (!(difference <= AGREEMENT)) return fallback('differs', { difference });
  return { engine: webgpu, choice: { kind: 'webgpu', threads: 1, why: 'agrees', difference } };
}

async function logitsOn(
  engine: Engine,
  model: CausalLM,
  weights: ReadonlyMap<string, WeightSource>,
  ids: Int32Array,
): Promise<Float32Array> {
  const runner = new TapRunner(engine, model, weights);
  try {
    return (await runner.run(ids)).logits.data;
  } finally {
    await runner.release();
  }
}

function relativeDifference(expected: Float32Array, found: Float32Array): number {
  let largest = 0;
  let difference = 0;
  for (const [i, value] of expected.entries()) {
    largest = Math.max(largest, Math.abs(value));
    difference = Math.max(difference, Math.abs(value - found[i]!));
  }
  return difference / largest;
}
