import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { saveModelDirectory } from '../src/checkpoint/save.node.ts';
import type { CommonConfig } from '../src/families/config.ts';
import { exchange, type PartChanges, parseChanges } from '../src/families/exchange.ts';
import type { CausalLM } from '../src/families/family.ts';
import { initializeWeights } from '../src/families/initialize.ts';
import { familyByName, findPreset } from '../src/families/registry.ts';
import { fullLogits } from '../src/generation/score.ts';
import { differentiate } from '../src/graph/differentiate.ts';
import { evaluate } from '../src/graph/evaluate.ts';
import { blockDiagram } from '../src/inspect/diagram.ts';
import { namedPreset } from '../src/inspect/named-model.ts';
import { summarize } from '../src/inspect/summary.ts';
import { printTree } from '../src/inspect/tree.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createLearner } from '../src/training/create-learner.ts';
import { lossGraph } from '../src/training/graph.ts';
import { AdamW } from '../src/training/optimizers/optimizer.ts';
import { FAMILIES } from './helpers/families.ts';

const engine = nodeEngine({ threads: 1 });
const home = mkdtempSync(join(tmpdir(), 'ropewalk-exchange-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** Small enough for float64 in plain JavaScript. */
const SIZES: Readonly<Record<string, Record<string, unknown>>> = {
  gpt: { n_embd: 16, dff: 24, n_layer: 2, n_head: 4, n_positions: 16 },
  gpt2: { n_embd: 16, n_inner: 24, n_layer: 2, n_head: 4, n_positions: 16 },
  gemma: {
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    head_dim: 6,
  },
};
const rotary = { ...SIZES.gemma!, num_key_value_heads: 2, max_position_embeddings: 16 };

function smallConfig(name: string): CommonConfig {
  const { preset } = findPreset(`${name}/tiny`)!;
  const own = {
    ...(SIZES[name] ?? rotary),
    ...('layer_types' in preset.config && { layer_types: ['sliding_attention', 'full_attention'] }),
    ...('sliding_window' in preset.config && { sliding_window: 3 }),
    ...('max_window_layers' in preset.config && { max_window_layers: 0 }),
  };
  return { ...preset.config, ...own, vocab_size: 24 } as CommonConfig;
}

/** All choices of a part: the compiler knows one that is missing. */
const choices = <T extends string | undefined>(each: Readonly<Record<NonNullable<T>, true>>) =>
  Object.keys(each) as NonNullable<T>[];

/** What each part is exchanged for. */
const VALUES: { readonly [Part in keyof Required<PartChanges>]: readonly PartChanges[Part][] } = {
  norm: choices<PartChanges['norm']>({ LayerNorm: true, RMSNorm: true }),
  layerNorms: choices<PartChanges['layerNorms']>({ before: true, after: true, both: true, none: true }),
  positions: choices<PartChanges['positions']>({
    ...{ sinusoidal: true, learned: true, rotary: true, none: true },
  }),
  kvHeads: [1, 2, 4],
  window: [2, null],
  globalEvery: [2],
  headNorm: [true, false],
  activation: choices<PartChanges['activation']>({ relu: true, gelu: true, silu: true }),
  gated: [true, false],
  attentionCap: [1.5, null],
  finalCap: [2, null],
  tied: [true, false],
};
const PARTS = Object.keys(VALUES) as (keyof PartChanges)[];

const changesOf = (part: keyof PartChanges): PartChanges[] =>
  VALUES[part].map((value) => ({ ...(part === 'globalEvery' && { window: 2 }), [part]: value }));

/** Several exchanges at once, drawn for each family. */
function combinations(name: string): PartChanges[] {
  const random = new Random(FAMILIES.indexOf(name));
  return [1, 2, 3].map(() =>
    Object.assign(
      {},
      ...PARTS.filter(() => random.next() < 0.5).map((part) => {
        const changes = changesOf(part);
        return changes[random.nextInt(changes.length)];
      }),
      // A model whose layers have no norm at all is one of the exchanges above; with other parts it may well not learn.
      { layerNorms: ['before', 'after', 'both'][random.nextInt(3)] },
    ),
  );
}

const cases = FAMILIES.flatMap((name) =>
  [...PARTS.flatMap(changesOf), ...combinations(name)].map(
    (changes) => [name, JSON.stringify(changes), changes] as const,
  ),
);

/** A family with some parts exchanged, and a small config of it, as it comes back from its file. */
function exchanged(name: string, changes: PartChanges) {
  const family = exchange(familyByName(name), changes);
  const { tied } = changes;
  const small = { ...smallConfig(name), ...(tied !== undefined && { tie_word_embeddings: tied }) };
  const raw = JSON.parse(JSON.stringify(family.writeConfig(small))) as Record<string, unknown>;
  return { family, config: family.readConfig(raw, 'config.json') };
}

/** Lively weights: gradients far from zero everywhere. */
function weightsOf(model: CausalLM, seed: number): Map<string, Float64Array> {
  const random = new Random(seed);
  return new Map(
    [...model.parameters()].map(([path, { size }]) => [
      path,
      Float64Array.from({ length: size }, () => 0.6 * (2 * random.next() - 1)),
    ]),
  );
}

/** The loss of a model on a short text, and what it is computed from, in float64. */
function program(model: CausalLM) {
  const rows = 6;
  const { loss } = lossGraph(model, { batch: 1, seq: rows });
  const weights = weightsOf(model, 3);
  const inputs = (move: (path: string, i: number) => number = () => 0) =>
    new Map(
      topInputs(loss).map((tensor) => {
        const name = (tensor.node.attributes as { name: string }).name;
        const shape = tensor.shape as number[];
        const given = weights.get(name);
        if (given) return [tensor, { shape, data: given.map((x, i) => x + move(name, i)) }];
        const data = Float64Array.from({ length: rows }, (_, i) =>
          name === 'weights' ? 1 / rows : (7 * i + (name === 'targets' ? 5 : 1)) % 24,
        );
        return [tensor, { shape, data }];
      }),
    );
  return { loss, inputs };
}

describe.each(FAMILIES)('exchanging a part of %s', (name) => {
  it('makes another model of it, whichever part', () => {
    const behavior = (changes: PartChanges) => {
      const { family, config } = exchanged(name, changes);
      const model = family.build(config);
      const { loss, inputs } = program(model);
      return JSON.stringify([
        [...model.parameters()].map(([path, { shape }]) => [path, shape]),
        evaluate([loss], inputs())[0]!.data[0],
      ]);
    };
    const plain = behavior({});
    for (const part of PARTS) {
      // Of the values of a part at most one is what the family has.
      const same = changesOf(part).filter((changes) => behavior(changes) === plain);
      expect(same.length, `${part}: ${JSON.stringify(same)}`).toBeLessThanOrEqual(1);
      expect(changesOf(part).length - same.length, part).toBeGreaterThan(0);
    }
  });
});

describe.each(cases)('the family %s with %s', (name, _text, changes) => {
  const { family, config } = exchanged(name, changes);

  it('has gradients that agree with finite differences', () => {
    const model = family.build(config);
    const { loss, inputs } = program(model);
    const parameters = [...model.parameters()];
    const gradients = differentiate(
      loss,
      parameters.map(([, { tensor }]) => tensor),
    );
    const exact = evaluate([loss, ...gradients.map((gradient) => gradient!)], inputs());
    // One direction through all weights at once.
    const random = new Random(11);
    const direction = new Map(
      parameters.map(([path, { size }]) => [
        path,
        Float64Array.from({ length: size }, () => 2 * random.next() - 1),
      ]),
    );
    let slope = 0;
    parameters.forEach(([path], p) => {
      const gradient = exact[p + 1]!.data;
      const along = direction.get(path)!;
      for (let i = 0; i < along.length; i++) slope += gradient[i]! * along[i]!;
    });
    const step = 1e-7;
    const moved = (sign: number) =>
      evaluate(
        [loss],
        inputs((path, i) => sign * step * direction.get(path)![i]!),
      )[0]!.data[0]!;
    const measured = (moved(1) - moved(-1)) / (2 * step);
    // So small a step hardly ever crosses a kink of ReLU.
    expect(Math.abs(measured - slope)).toBeLessThan(1e-4 * Math.max(1, Math.abs(slope)));
  });

  it('learns a small text', async () => {
    const model = family.build(config);
    const learner = await createLearner(engine, model, { batch: 2, seq: 8 }, {});
    await learner.fill((values) => initializeWeights(model.parameters(), values, new Random(5)));
    const optimizer = new AdamW(learner.parameters as ConstructorParameters<typeof AdamW>[0], {});
    const tokens = Int32Array.from({ length: 16 }, (_, i) => (5 * i + 2) % 24);
    const rows = { inputs: tokens, targets: tokens.map((id) => (id + 5) % 24) };
    const losses: number[] = [];
    for (let step = 0; step < 25; step++) {
      losses.push((await learner.step([rows], { optimizer, learningRate: 0.01, clip: 1 })).loss);
    }
    expect(losses.at(-1)).toBeLessThan(0.8 * losses[0]!);
    await learner.release();
  });
});

function topInputs(loss: import('../src/graph/tensor.ts').Tensor) {
  const found = new Set<typeof loss>();
  const seen = new Set<unknown>();
  const visit = (tensor: typeof loss) => {
    if (seen.has(tensor)) return;
    seen.add(tensor);
    if (['input', 'parameter'].includes(tensor.node.operator.name)) found.add(tensor);
    tensor.node.inputs.forEach(visit);
  };
  visit(loss);
  return [...found];
}

describe('a model with an exchanged part', () => {
  it('is named on the command line, and compared, printed and drawn like any other', () => {
    const { family, preset } = findPreset('llama/tiny+norm=LayerNorm,positions=sinusoidal')!;
    const model = family.build(preset.config);
    const summary = summarize({ family, config: preset.config, model }, 'changed');
    expect([summary.norm.kind, summary.position?.kind]).toEqual(['LayerNorm', 'sinusoidal']);
    expect(printTree(model)).toContain('(input_layernorm): LayerNorm((96,)');
    expect(printTree(model)).not.toContain('rotary');
    expect(
      blockDiagram([namedPreset('llama/tiny+norm=LayerNorm')!, namedPreset('llama/tiny')!], 'en'),
    ).toContain('LayerNorm');
  });

  it('loads from its directory as itself, and is not mistaken for a plain model of its family', async () => {
    const family = exchange(familyByName('gpt'), { positions: 'rotary', kvHeads: 2, tied: false });
    const config = { ...smallConfig('gpt'), tie_word_embeddings: false };
    const model = family.build(config);
    const values = new Map([...weightsOf(model, 9)].map(([path, data]) => [path, Float32Array.from(data)]));
    const path = join(home, 'rotary-gpt');
    await saveModelDirectory(path, {
      config: family.writeConfig(config),
      tensors: [...model.parameters()].map(([name, { shape }]) => ({ name, shape, data: values.get(name)! })),
      files: [],
    });
    const opened = await openModel(path);
    expect(opened.family.name).toBe('gpt+positions=rotary,kvHeads=2,tied=false');
    expect(opened.unused).toEqual([]);
    const read = new Map([...values].map(([path, data]) => [path, new Float32Array(data.length)]));
    await readWeights(opened, read);
    await opened.checkpoint.tensors.close();
    expect(read).toEqual(values);
    const logits = async (model: CausalLM) => {
      const weights = new Map([...values].map(([path, data]) => [path, { data }]));
      for await (const rows of fullLogits(engine, model, weights, Int32Array.of(1, 2, 3))) return rows.logits;
      return undefined;
    };
    expect(await logits(opened.model)).toEqual(await logits(model));
  });

  it.each([
    ['kvHeads=3', /3 key heads do not divide 4 query heads/],
    ['globalEvery=2', /set window too/],
    ['norm=BatchNorm', /the field "norm" is "BatchNorm"; supported are LayerNorm, RMSNorm/],
    ['color=red', /there is no part "color" to exchange; the parts are norm, layerNorms/],
    ['norm', /"norm" does not exchange a part; write part=value/],
  ])('%s is refused by name', (text, message) => {
    expect(() => exchange(familyByName('llama'), parseChanges(text)).build(smallConfig('llama'))).toThrow(
      message,
    );
  });
});
