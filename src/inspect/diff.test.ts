import { describe, expect, it } from 'vitest';
import { families } from '../families/registry.ts';
import { type DiffRow, diffTrees } from './diff.ts';
import { renderDiff } from './diff-text.ts';
import { namedPreset } from './named-model.ts';
import { printTree } from './tree.ts';

const model = (name: string) => namedPreset(name)!.model;
const rowsOf = (left: string, right: string) => diffTrees(model(left), model(right));
const summary = (rows: readonly DiffRow[], role: DiffRow['role']) =>
  rows
    .filter((row) => row.role === role && !row.closing)
    .map(({ left, right, mark, changes }) => [
      left === undefined ? null : /[([]([\w-]+)[)\]]:/.exec(left)?.[1],
      right === undefined ? null : /[([]([\w-]+)[)\]]:/.exec(right)?.[1],
      mark,
      changes.join(' '),
    ]);

describe('diffTrees', () => {
  it('shows the two norms of GPT as renamed and replaced in Gemma, never as added', () => {
    const rows = rowsOf('gpt/tiny', 'gemma/tiny');
    expect(summary(rows, 'pre-attention norm')).toEqual([
      ['layernorm1', 'input_layernorm', 'replaced', 'renamed replaced'],
    ]);
    expect(summary(rows, 'pre-mlp norm')).toEqual([
      ['layernorm2', 'post_attention_layernorm', 'replaced', 'renamed replaced'],
    ]);
    const added = rows.filter(({ mark }) => mark === 'added').map(({ role }) => role);
    expect(added).toEqual(['gate']);
    const removed = rows.filter(({ mark }) => mark === 'removed').map(({ role }) => role);
    expect(removed).toEqual(['dropout', 'dropout', 'dropout']);
  });

  it('shows a name whose role changed from Gemma to Gemma 2', () => {
    const rows = rowsOf('gemma/tiny', 'gemma2/tiny');
    expect(summary(rows, 'pre-attention norm')[0]!.slice(0, 3)).toEqual([
      'input_layernorm',
      'input_layernorm',
      'renamed',
    ]);
    expect(summary(rows, 'pre-mlp norm')).toEqual([
      ['post_attention_layernorm', 'pre_feedforward_layernorm', 'renamed', 'renamed'],
    ]);
    expect(summary(rows, 'attention post-norm')).toEqual([[null, 'post_attention_layernorm', 'added', '']]);
    expect(summary(rows, 'mlp post-norm')).toEqual([[null, 'post_feedforward_layernorm', 'added', '']]);
    const attention = rows.find(({ role }) => role === 'attention')!;
    expect(attention.fields).toContainEqual({ field: 'softcap', left: 'none', right: '50' });
    expect(attention.fields.find(({ field }) => field === 'window')?.right).toMatch(/^\d+ and none$/);
  });

  it('pairs a fused projection with the three that do its work', () => {
    const rows = rowsOf('gpt2/tiny', 'llama/tiny');
    const names = rows
      .filter(({ role, closing }) => !closing && ['query', 'key', 'value'].includes(role))
      .map(({ left, right, mark }) => [left?.trim().split(':')[0], right?.trim().split(':')[0], mark]);
    expect(names).toEqual([
      ['(c_attn)', '(q_proj)', 'replaced'],
      [undefined, '(k_proj)', 'replaced'],
      [undefined, '(v_proj)', 'replaced'],
    ]);
    expect(summary(rows, 'position encoding')).toEqual([
      ['wpe', 'rotary_emb', 'replaced', 'renamed replaced'],
    ]);
    const back = rowsOf('llama/tiny', 'gpt2/tiny').filter(({ role }) => ['key', 'value'].includes(role));
    expect(back.map(({ left, right, mark }) => [left !== undefined, right, mark])).toEqual([
      [true, undefined, 'replaced'],
      [true, undefined, 'replaced'],
    ]);
  });

  const names = families.map(({ name }) => name);
  const pairs = names.flatMap((a) => names.map((b) => [a, b] as const));

  it.each(pairs)('%s and %s: prints each side as its own tree, line for line', (a, b) => {
    const rows = rowsOf(`${a}/tiny`, `${b}/tiny`);
    const lines = (side: 'left' | 'right') => rows.flatMap((row) => row[side] ?? []);
    const printed = (name: string) => printTree(model(name), { annotated: true }).split('\n');
    expect(lines('left')).toEqual(printed(`${a}/tiny`));
    // The right tree may stand in the left one's order.
    expect(lines('right').toSorted()).toEqual(printed(`${b}/tiny`).toSorted());
    if (a === b) expect(rows.every(({ mark }) => mark === 'same')).toBe(true);
  });

  it('reports only sizes for two sizes of one family', () => {
    const rows = rowsOf('llama-3-8b', 'llama-3-70b');
    const changes = new Set(rows.flatMap((row) => row.changes));
    expect([...changes]).toEqual(['resized']);
  });

  it('prints side by side with signs and a legend', () => {
    const text = renderDiff(rowsOf('gemma/tiny', 'gemma2/tiny'), { names: ['gemma', 'gemma2'] });
    expect(text).toMatch(/\n +\+ +\(post_feedforward_layernorm\): Gemma2RMSNorm/);
    expect(text).toMatch(/\(post_attention_layernorm\): GemmaRMSNorm.* ≈ +\(pre_feedforward_layernorm\)/);
    expect(text).toMatch(/# .*softcap none → 50/);
    expect(text.endsWith('+ added  − removed  ≈ renamed  ~ changed  ≠ replaced')).toBe(true);
    const korean = renderDiff(rowsOf('gemma/tiny', 'gemma2/tiny'), { locale: 'ko' });
    expect(korean.endsWith('+ 추가  − 삭제  ≈ 이름 변경  ~ 변경  ≠ 교체')).toBe(true);
    const painted = renderDiff(rowsOf('gpt/tiny', 'gpt/tiny'), { paint: (mark, line) => `<${mark}>${line}` });
    expect(painted.startsWith('<same>CTRLLMHeadModel(')).toBe(true);
  });
});
