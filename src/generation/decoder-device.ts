import type { CausalLM } from '../families/family.ts';
import { hasFusedAttention } from '../graph/operators/index.ts';
import type { AttentionPart } from '../nn/parts.ts';
import { attentionRows } from '../runtime/attention-rows.ts';
import type { DeviceMemory } from '../runtime/device.ts';
import { dialectOf, type Engine } from '../runtime/engine.ts';
import { DeviceRowStore } from './cache/device-rows.ts';
import { RowNumbers } from './cache/written-rows.ts';

/** A device that keeps a decoder's caches. */
export interface DecoderDevice {
  readonly memory: DeviceMemory;
  readonly store: DeviceRowStore;
  readonly rowNumbers: RowNumbers;
  /** Whether its attention kernels give the right result. */
  readonly kernels: boolean;
  /** How many new tokens of a sequence run together with the right result. */
  readonly tokensAtOnce: number;
  release(): Promise<void>;
}

/** Opens the device of an engine's sessions, if values can stay there. */
export async function openDevice(engine: Engine, model: CausalLM): Promise<DecoderDevice | undefined> {
  // A decoder passes values of the host and of the device to one run, which the engine of browsers cannot.
  if (!engine.writesOutputs) return undefined;
  const memory = await engine.openMemory?.('generating');
  if (!memory) return undefined;
  let store: DeviceRowStore | undefined;
  try {
    store = await DeviceRowStore.create(engine, memory);
    let tokens = Number.POSITIVE_INFINITY;
    for (const part of attentions(model)) {
      if (hasFusedAttention(part, dialectOf(engine)))
        tokens = Math.min(tokens, await attentionRows(engine, part));
    }
    const release = async () => {
      await store!.release();
      await memory.release();
    };
    const kernels = tokens > 0;
    const tokensAtOnce = kernels ? tokens : Number.POSITIVE_INFINITY;
    return { memory, store, rowNumbers: new RowNumbers(memory), kernels, tokensAtOnce, release };
  } catch (error) {
    await store?.release();
    await memory.release();
    throw error;
  }
}

/** The attention of every layer. */
export function attentions(model: CausalLM): AttentionPart[] {
  const parts = [...model.walk()].map(([, module]) => module.describe());
  return parts.filter((part) => part?.part === 'attention');
}
