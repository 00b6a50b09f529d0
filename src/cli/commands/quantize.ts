import { type Command, Option } from 'commander';
import { openModel } from '../../checkpoint/load.node.ts';
import { exportQuantized } from '../../export/quantized.node.ts';
import { keepLayout } from '../../generation/decoder.node.ts';
import type { Quantization } from '../../onnx/quantize.ts';
import { modelPath } from '../options/resolve.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { forOutput } from '../terminal/printable.ts';
import { Progress } from '../terminal/progress.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface QuantizeFlags {
  to: 'int8' | 'int4';
  block: '32' | '64' | '128';
  out: string;
  layoutCache: boolean;
}

export function register(program: Command): void {
  program
    .command('quantize')
    .description('Save a quantized model, which loads without quantizing again.')
    .argument('<model>', 'a Hugging Face model directory, a GGUF file, or an id on the hub')
    .addOption(
      new Option('--to <form>', 'bits per weight; with int4, the head keeps 8')
        .choices(['int8', 'int4'])
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--block <n>', 'values that share a scale').choices(['32', '64', '128']).default('64'),
    )
    .requiredOption('--out <folder>', 'folder to write the model to')
    .option(
      '--no-layout-cache',
      'keep no layout of the model, with which it starts faster (see ropewalk cache)',
    )
    .addHelpText(
      'after',
      `
Smaller blocks are more accurate and take more space: verify/smollm2.txt records the cost on a real model.

Examples:
  ropewalk quantize google/gemma-2-2b-it --to int4 --out gemma-int4
  ropewalk chat gemma-int4`,
    )
    .action(quantize);
}

async function quantize(name: string, { to, block, out, layoutCache }: QuantizeFlags): Promise<void> {
  const form = { bits: to === 'int8' ? 8 : 4, block: Number(block) } as Quantization;
  const opened = await openModel(await modelPath(name), { layoutCache });
  showWarnings(opened.warnings);
  const progress = new Progress();
  const { signal, dispose } = interruptSignal(() => {});
  try {
    const result = await exportQuantized(opened, out, {
      quantize: form,
      onProgress(done, total) {
        signal.throwIfAborted();
        progress.update(
          'quantizing',
          done,
          total,
          `${(done / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB`,
        );
      },
    });
    if (layoutCache) await keepSaved(out);
    progress.end();
    for (const { name: file, bytes } of result.files) {
      process.stdout.write(`${forOutput(`${out}/${file}`)}  ${(bytes / 1e6).toFixed(1)} MB\n`);
    }
    for (const note of result.notes) progress.note(note);
  } catch (error) {
    progress.end();
    if (!signal.aborted) throw error;
    process.exitCode = INTERRUPTED;
  } finally {
    dispose();
    await opened.checkpoint.tensors.close();
  }
}

/** Keeps the layout of a model that was just saved. */
async function keepSaved(folder: string): Promise<void> {
  const saved = await openModel(folder);
  try {
    // Nobody else has written these files: their times need not settle.
    await keepLayout(saved, { layoutCache: { settledMs: 0 } });
  } finally {
    await saved.checkpoint.tensors.close();
  }
}
