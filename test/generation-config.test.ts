import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { load } from '../src/generation/load.node.ts';
import { loadHere } from '../src/generation/load-here.node.ts';
import { withSamplingDefaults } from '../src/generation/sampling-defaults.ts';
import { buildProgram, ropewalk, start } from './helpers/cli.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';

/** What transformers' generate() takes from a model's files: test/reference/make_generation_config.py. */
const reference = fileURLToPath(new URL('./reference/', import.meta.url));
const { model, prompt, cases } = JSON.parse(readFileSync(`${reference}generation-config.json`, 'utf8')) as {
  model: string;
  prompt: number[];
  cases: {
    name: string;
    generation: object | null;
    config: object;
    read: {
      do_sample: boolean;
      temperature: number;
      top_k: number;
      top_p: number;
      min_p: number | null;
      repetition_penalty: number;
    };
    ids?: number[];
  }[];
};

const { folder, remove } = scratch('generation-config');
afterAll(remove);

function write(name: string, generation: object | null, fields: object): string {
  const path = join(folder, name.replaceAll(/\W+/g, '-'));
  mkdirSync(path, { recursive: true });
  cpSync(`${reference}${model}/model.safetensors`, `${path}/model.safetensors`);
  const config = JSON.parse(readFileSync(`${reference}${model}/config.json`, 'utf8')) as object;
  writeFileSync(`${path}/config.json`, JSON.stringify({ ...config, ...fields }));
  if (generation) writeFileSync(`${path}/generation_config.json`, JSON.stringify(generation));
  return path;
}

async function generate(path: string, ...options: string[]) {
  const args = ['generate', path, '--ids', prompt.join(','), '--max-tokens', '16', '--ignore-eos', '--json'];
  const { code, stdout, stderr } = await ropewalk([...args, ...options]);
  expect(code, stderr).toBe(0);
  return { ...(JSON.parse(stdout) as { ids: number[]; warnings: string[] }), stderr };
}

describe.each(cases)('the generation_config.json of $name', ({ name, generation, config, read, ids }) => {
  it('is read as transformers reads it', async () => {
    const opened = await openModel(write(name, generation, config));
    await opened.checkpoint.tensors.close();
    const { greedy, temperature = 1, topK = 0, topP = 1, minP = null, ...rest } = opened.sampling;
    expect(greedy).toBe(!read.do_sample);
    expect(rest.repetitionPenalty ?? 1).toBe(read.repetition_penalty);
    if (greedy) return;
    const { top_k, top_p, min_p } = read;
    expect({ temperature, topK, topP, minP }).toEqual({
      temperature: read.temperature,
      ...{ topK: top_k, topP: top_p, minP: min_p },
    });
  });

  it.runIf(ids)('generates the ids of transformers', async () => {
    expect((await generate(write(name, generation, config))).ids).toEqual(ids);
  });
});

describe('the generation defaults of a model', () => {
  it('are overridden by options', async () => {
    const path = write('options', { do_sample: true, temperature: 0.6, repetition_penalty: 1.2 }, {});
    const greedy = cases.find(({ name }) => name === 'greedy')!.ids;
    expect((await generate(path, '--greedy', '--repetition-penalty', '1')).ids).toEqual(greedy);
    expect((await generate(path, '--top-k', '1', '--repetition-penalty', '1')).ids).toEqual(greedy);
    // A default of the likeliest token gives way to an option of drawing.
    const still = write('still', { do_sample: false }, {});
    const drawn = await generate(still, '--temperature', '5', '--seed', '3');
    expect(drawn.ids).not.toEqual(greedy);
    expect(drawn.ids).toEqual((await generate(still, '--temperature', '5', '--seed', '3')).ids);
    const defaults = { greedy: true, repetitionPenalty: 2 };
    expect(withSamplingDefaults(defaults, { topP: 0.5 })).toEqual({
      ...{ greedy: false, repetitionPenalty: 2, topP: 0.5 },
    });
    expect(withSamplingDefaults({ temperature: 0.5, topK: 3 }, { greedy: true })).toMatchObject({
      greedy: true,
    });
  });

  it('are those of Ropewalk when a model says nothing about sampling', async () => {
    const opened = await openModel(write('nothing', { eos_token_id: 2, max_length: 60 }, {}));
    await opened.checkpoint.tensors.close();
    expect(opened).toMatchObject({ sampling: {}, warnings: [] });
  });

  it('name in a warning what is not supported', async () => {
    const generation = { do_sample: true, num_beams: 4, no_repeat_ngram_size: 3, typical_p: 0.9, top_k: 1 };
    const { warnings, stderr } = await generate(write('missing', generation, {}));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/num_beams, no_repeat_ngram_size, typical_p are not supported/);
    expect(stderr.match(/no_repeat_ngram_size/g)).toHaveLength(1);
    const other = await generate(write('other', { temperature: 0.6, suppress_tokens: [] }, {}));
    expect(other.warnings).toEqual([expect.stringContaining('no "do_sample": true')]);
  });

  it.each([
    ['temperature', -1],
    ['temperature', 'hot'],
    ['top_k', 1.5],
    ['top_p', 1.5],
    ['min_p', -0.1],
    ['repetition_penalty', 0],
    ['do_sample', 'yes'],
  ])('are refused when %s is %s', async (field, value) => {
    const path = write(`bad-${field}-${value}`, { do_sample: true, [field]: value }, {});
    await expect(openModel(path)).rejects.toThrow(`the field "${field}" must be`);
  });

  it('are the same in this thread, in a worker thread, and in chats', async () => {
    const path = join(folder, 'chatting');
    await saveUntrained(path);
    const all = async (pieces: AsyncIterable<string>) => {
      let text = '';
      for await (const piece of pieces) text += piece;
      return text;
    };
    const ask = [{ role: 'user', content: 'rope' }] as const;
    const plain = await loadHere(path, { threads: 1 });
    const penalty = { greedy: true, repetitionPenalty: 1.5, maxTokens: 24 };
    const expected = [await all(plain.generate('rope', penalty)), await all(plain.chat(ask, penalty))];
    expect(await all(plain.generate('rope', { maxTokens: 24, seed: 1 }))).not.toBe(expected[0]);
    await plain.release();
    const generation = { do_sample: true, top_k: 1, repetition_penalty: 1.5 };
    writeFileSync(`${path}/generation_config.json`, JSON.stringify(generation));
    for (const model of [await load(path), await loadHere(path, { threads: 1 })]) {
      expect(model.sampling).toEqual({ greedy: false, temperature: 1, topK: 1, repetitionPenalty: 1.5 });
      expect(model.warnings).toEqual([]);
      const said = [
        await all(model.generate('rope', { maxTokens: 24 })),
        await all(model.chat(ask, { maxTokens: 24 })),
      ];
      expect(said).toEqual(expected);
      await model.release();
    }
    const program = await buildProgram('bin/ropewalk.js');
    const chatting = start(program, ['chat', path, '--max-tokens', '24'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    chatting.process.stdin!.end('rope\n');
    const chat = await chatting.finished;
    // Control characters are shown as pictures there.
    expect(chat.stdout.slice(0, 20)).toBe(expected[1]!.slice(0, 20));
    rmSync(path, { recursive: true });
  });

  it('are shown by ropewalk inspect', async () => {
    const path = write('shown', { do_sample: true, temperature: 0.6, top_p: 0.9 }, {});
    const { stdout } = await ropewalk(['inspect', path]);
    expect(stdout).toContain('default sampling: temperature 0.6, top-k 50, top-p 0.9');
    const json = JSON.parse((await ropewalk(['inspect', path, '--json'])).stdout) as object;
    expect(json).toMatchObject({ sampling: { temperature: 0.6, topK: 50, topP: 0.9 }, warnings: [] });
    rmSync(`${path}/model.safetensors`);
    expect((await ropewalk(['inspect', path])).stdout).toContain('top-p 0.9');
  });
});
