import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  data,
  distill,
  distillation,
  families,
  loadHere,
  type RunEvent,
  text,
  tokenizer,
  train,
  training,
} from 'ropewalk';
import { afterAll, describe, expect, it } from 'vitest';

/** `train` and `distill` continue prompts while they train, as `finetune` does (test/finetune.test.ts). */

const home = mkdtempSync(join(tmpdir(), 'ropewalk-samples-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const TEXT = 'A rope that is walked is a rope that is made. '.repeat(40);
const PROMPT = 'A rope';
const json = tokenizer.trainBpe([TEXT], { vocabSize: 280 });
const bpe = tokenizer.Tokenizer.fromJSON(json, tokenizer.bpeTokenizerConfig(json));
const SETTINGS = {
  batch: 2,
  seq: 16,
  seed: 0,
  validation: 0.1,
  steps: 6,
  evalEvery: 3,
  result: 'last' as const,
  threads: 1,
};
const SAMPLING = { samplePrompt: [PROMPT], sampleTokens: 12 };
const { llama } = families;
const pretraining = {
  family: llama,
  config: training.configForTokenizer(llama.presets.tiny!.config, bpe),
  files: tokenizer.tokenizerFiles(bpe),
  tokens: text.encodeCorpus(bpe, [TEXT]),
};

async function samplesOf(events: AsyncIterable<RunEvent>): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for await (const event of events) {
    if (event.type !== 'samples') continue;
    expect(event.samples.map(({ prompt }) => prompt)).toEqual([PROMPT]);
    found.set(event.step, event.samples[0]!.text);
  }
  return found;
}

/** What the saved model writes, loaded anew. */
async function greedyText(path: string): Promise<string> {
  const model = await loadHere(path, { threads: 1 });
  let written = '';
  for await (const piece of model.generate(PROMPT, { maxTokens: 12, greedy: true })) written += piece;
  await model.release();
  return written;
}

describe('samples of a run', () => {
  const out = join(home, 'trained');

  it('of train are written at each evaluation, the last as the finished model continues', async () => {
    const samples = await samplesOf(train({ ...pretraining, ...SETTINGS, ...SAMPLING, out }));
    expect([...samples.keys()]).toEqual([3, 6]);
    expect(samples.get(6)).toBe(await greedyText(out));
    expect(samples.get(6)).not.toBe('');
  });

  it('may be of other prompts when a run is resumed, which says that no step is affected', async () => {
    const events = train({
      ...{ ...pretraining, ...SETTINGS, steps: 9, samplePrompt: ['A walk'], out, resume: 'must' as const },
    });
    const changes: string[] = [];
    const prompts: string[] = [];
    for await (const event of events) {
      if (event.type === 'resumed') changes.push(...event.changes);
      if (event.type === 'samples') prompts.push(...event.samples.map(({ prompt }) => prompt));
    }
    expect(changes.join('\n')).toMatch(
      /"samplePrompt\.0" \("A rope", now "A walk"\) does not affect any step/,
    );
    expect(prompts).toEqual(['A walk']);
  });

  it('of distill are written at each evaluation, the last as the finished student continues', async () => {
    const place = join(home, 'distilled');
    const teacher = await distillation.openTeacher(out);
    const student = await distillation.openStudent({ kind: 'layers', path: out, layers: 2 });
    const { tokens } = await data.encodeDocuments(teacher.tokenizer, [TEXT]);
    const { files, generationConfig } = distillation.studentFiles(student, teacher.tokenizer, { teacher });
    const samples = await samplesOf(
      distill({
        student: { ...student, generationConfig },
        teaching: distillation.onlineTeaching(teacher, distillation.teachingText(tokens, SETTINGS)),
        ...{ files, out: place, ...SETTINGS, ...SAMPLING },
      }),
    );
    await teacher.close();
    expect([...samples.keys()].filter((step) => step > 0)).toEqual([3, 6]);
    expect(samples.get(6)).toBe(await greedyText(place));
  });

  it('need a tokenizer and a prompt', async () => {
    const files = [{ name: 'notes.txt', data: '' }];
    await expect(
      training.openPretraining({ ...pretraining, ...SETTINGS, ...SAMPLING, files }),
    ).rejects.toThrow('samplePrompt: the run has no tokenizer.json to encode it; leave it out.');
    await expect(training.openPretraining({ ...pretraining, ...SETTINGS, sampleTokens: 3 })).rejects.toThrow(
      'sampleTokens: there is no samplePrompt to continue; give one, or leave it out.',
    );
  });
});
