/*
 * Copies that a device leaves out, as it does without room for the buffer that they go through: `node child.js`. In a process of its
 * own, since it replaces a function of the engine. Prints one line of JSON for each check: {check, value}.
 */
import { writeSync } from 'node:fs';
import { openDeviceMemory } from '../../src/runtime/device-memory.node.ts';
import { WEBGPU_OPTIONS } from '../../src/runtime/engine.ts';
import { openLibrary } from '../../src/runtime/library.node.ts';

const library = openLibrary()!;
const { api } = library;
const { copyTensors } = api;
let copied = 0;
let skipped = 0;
api.copyTensors = (...given) => (++copied === skipped ? null : copyTensors(...given));

const memory = await openDeviceMemory(library, async (model) => {
  const settings = library.out((out) => api.createSessionOptions(out));
  for (const [name, value] of Object.entries(WEBGPU_OPTIONS))
    library.check(api.addSessionConfigEntry(settings, `ep.webgpuexecutionprovider.${name}`, value));
  library.check(api.appendExecutionProvider(settings, 'WebGPU', null, null, 0));
  return library.createSession(model, settings);
});

const SIZE = 2 ** 18;
const tensor = memory.allocate('float32', [SIZE]);
const numbers = memory.allocate('float16', [2 * SIZE]);
/** What a write with one copy left out does: 0 for none, 1 for its first one. */
function written(left: number, data: Float32Array | Uint16Array): string {
  [copied, skipped] = [0, left];
  const target = data instanceof Float32Array ? tensor : numbers;
  try {
    memory.write(target, data);
  } catch (error) {
    return (error as Error).message;
  } finally {
    skipped = 0;
  }
  const found = data instanceof Float32Array ? new Float32Array(SIZE) : new Uint16Array(2 * SIZE);
  memory.read(target, found);
  return found.every((value, i) => Object.is(value, data[i])) ? 'the same' : 'other numbers';
}
const check = (name: string, value: unknown) => writeSync(1, `${JSON.stringify({ check: name, value })}\n`);
const float32 = (first: number) => Float32Array.from({ length: SIZE }, (_, i) => (i === 0 ? first : i));
const float16 = Uint16Array.from({ length: 2 * SIZE }, (_, i) => i % 31_000);

// A write of this size: a number to the device, from there to the tensor, the data, and the beginning back.
check(
  'whole',
  [0, 1, 2, 4, 6, 8, 10, 12, 14, 16, Number.NaN, -0].map((first) => written(0, float32(first))),
);
check('whole, float16', written(0, float16));
check('left out', written(3, float32(5)));
check('left out, float16', written(3, float16));
check('copies', copied);
await memory.release();
