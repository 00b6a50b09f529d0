import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { RawConfig } from '../families/config.ts';
import { findPreset, modelFromConfig } from '../families/registry.ts';
import { printTree } from './tree.ts';

const reference = fileURLToPath(new URL('../../test/reference/', import.meta.url));

/** The published GPT trees print the dropout that the checkpoints were trained with. */
function build(name: string) {
  const { family, preset } = findPreset(name)!;
  const written = family.writeConfig(preset.config);
  for (const field of ['resid_pdrop', 'embd_pdrop', 'attn_pdrop']) {
    if (field in written) written[field] = 0.1;
  }
  return modelFromConfig(written, 'config.json').model;
}

describe('the printed module tree', () => {
  const sizes = readdirSync(`${reference}trees`).filter((name) => name.endsWith('.txt'));

  it.each(sizes)('is for %s what PyTorch prints', (file) => {
    const expected = readFileSync(`${reference}trees/${file}`, 'utf8').trimEnd();
    expect(printTree(build(file.replace('.txt', '')))).toBe(expected);
  });

  const cases = readdirSync(reference).filter((name) => existsSync(`${reference}${name}/config.json`));

  it.each(cases)('is for the small %s what PyTorch prints', (name) => {
    const read = (file: string) =>
      JSON.parse(readFileSync(`${reference}${name}/${file}`, 'utf8')) as RawConfig;
    const { model } = modelFromConfig(read('config.json'), 'config.json');
    const { tree } = read('expected.json') as { tree?: string };
    expect(typeof tree).toBe('string');
    expect(printTree(model)).toBe(tree!.trimEnd());
  });

  it('shows plain tensors of the reference in brackets on request', () => {
    const { family, preset } = findPreset('gpt')!;
    const model = family.build(preset.config);
    expect(printTree(model)).not.toContain('pos_encoding');
    expect(printTree(model, { annotated: true })).toContain(
      '    [pos_encoding]: SinusoidalPositions(512, 512)\n',
    );
  });
});
