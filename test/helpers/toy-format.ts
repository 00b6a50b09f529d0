import { basename } from 'node:path';
import { defineFormat } from '../../src/export/format.node.ts';
import { writeFileAtomic } from '../../src/files/atomic.node.ts';
import { count, option } from '../../src/options.ts';

/** An export format of somebody else's, whole in one file: a line for each weight, with its name, shape and values. */
export const tsv = defineFormat({
  name: 'tsv',
  title: 'table of weights',
  help: ['one file with a line for each weight'],
  options: { digits: option(count, 'significant digits of each value', { value: 'n' }) },
  defaults: { digits: 9 },
  precision: 'digits',
  async write({ model, names, checkpoint }, path, { digits = 9 }, onProgress) {
    const lines: string[] = [];
    const parameters = [...model.parameters()];
    for (const [i, [name, { shape }]] of parameters.entries()) {
      const values = await checkpoint.tensors.readFloat32(names.get(name)!);
      lines.push([name, shape.join('x'), ...Array.from(values, (x) => x.toPrecision(digits))].join('\t'));
      onProgress(i + 1, parameters.length);
    }
    const text = lines.map((line) => `${line}\n`).join('');
    await writeFileAtomic(path, text);
    const file = { name: basename(path), bytes: Buffer.byteLength(text) };
    return { files: [file], parameters: model.parameterCount(), notes: [] };
  },
});
