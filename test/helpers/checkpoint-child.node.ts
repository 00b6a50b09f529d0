/*
 * A process for tests to kill, starve or watch: `node child.js <command> <argument>…`. It ends with 0 where the
 * command succeeded, and prints a RopewalkError's message and ends with 1 where it did not.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors } from '../../src/checkpoint/safetensors/safetensors-file.ts';
import { writeSafetensors } from '../../src/checkpoint/safetensors/writer.ts';
import { RopewalkError } from '../../src/errors.ts';
import { recoverDirectory, writeDirectoryAtomic, writeFileAtomic } from '../../src/files/atomic.node.ts';
import { FileSource } from '../../src/files/file.node.ts';

/** Kills this very process, as `kill -9` would, at its `count`-th step; never for 0. */
function dieAt(count: number): () => void {
  let steps = 0;
  return () => {
    steps++;
    if (steps === count) process.kill(process.pid, 'SIGKILL');
  };
}

const FILES = ['a', 'b', 'c'];

function fill(version: string, step: () => void = () => {}) {
  return async (directory: string) => {
    for (const name of FILES) {
      step();
      writeFileSync(join(directory, name), version.repeat(1000));
    }
  };
}

/** The largest memory of this process so far, in MiB. */
const peak = () => process.resourceUsage().maxRSS / 1024;

const commands: Record<string, (...args: string[]) => Promise<void>> = {
  async directory(path, version, count) {
    const onStep = dieAt(Number(count));
    await writeDirectoryAtomic(path!, fill(version!, onStep), { onStep });
  },
  async file(path, version, count) {
    const onStep = dieAt(Number(count));
    await writeFileAtomic(path!, version!.repeat(1000), { onStep });
  },
  async recover(path, count) {
    await recoverDirectory(path!, { onStep: dieAt(Number(count)) });
  },
  /** Replaces the folder again and again until it is killed, or `rounds` times. */
  async loop(path, version, rounds) {
    for (let i = 0; i < Number(rounds); i++) await writeDirectoryAtomic(path!, fill(version!));
  },
  /** Prints how far reading all tensors of a file, one after another into the same memory, raises the peak. */
  async read(path) {
    const before = peak();
    const file = await openSafetensors(await FileSource.open(path!));
    for (const name of file.tensors.keys()) await file.readFloat32(name);
    await file.close();
    process.stdout.write(String(peak() - before));
  },
  /** Prints how far writing `count` tensors of `elements` float32 from one array raises the peak. */
  async write(path, elements, count, dtype) {
    const before = peak();
    const values = new Float32Array(Number(elements)).fill(1);
    const entries = Array.from({ length: Number(count) }, (_, i) => ({
      name: `t${i}`,
      shape: [values.length],
      dtype: dtype as 'F32',
      data: () => values,
    }));
    await writeFileAtomic(path!, async (sink) => {
      await writeSafetensors(sink, entries);
    });
    process.stdout.write(String(peak() - before));
  },
};

try {
  await commands[process.argv[2]!]!(...process.argv.slice(3));
} catch (error) {
  if (!(error instanceof RopewalkError)) throw error;
  process.stdout.write(error.message);
  process.exitCode = 1;
}
