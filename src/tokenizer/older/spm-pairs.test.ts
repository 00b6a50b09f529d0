import { describe, expect, it } from 'vitest';
import { mergesFromScores } from '../../../test/helpers/merges-from-scores.ts';
import { Random } from '../../random.ts';
import { TokenTableBuilder } from '../tables/token-table.ts';

import { pairsFromScores } from './spm-pairs.ts';
import { CONTROL, NORMAL } from './token-types.ts';

const encoder = new TextEncoder();

function tableOf(tokens: readonly string[]) {
  const builder = new TokenTableBuilder();
  tokens.forEach((token, id) => {
    const bytes = encoder.encode(token);
    builder.add(bytes, 0, bytes.length, id);
  });
  return builder.build()!;
}

describe('pairs of ids from scores', () => {
  const random = new Random(3);
  const letters = ['a', 'b', 'é', '한', '😀', '▁'];
  const tokens = [
    ...new Set(
      Array.from({ length: 3000 }, () =>
        Array.from({ length: 1 + random.nextInt(7) }, () => letters[random.nextInt(letters.length)]).join(''),
      ),
    ),
  ];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const types = tokens.map(() => (random.nextInt(20) === 0 ? CONTROL : NORMAL));

  it.each([
    ['falling', tokens.map((_, id) => -id)],
    ['in any order', tokens.map(() => random.next())],
    ['often the same', tokens.map(() => random.nextInt(30))],
    ['all the same', tokens.map(() => 0)],
  ])('are the merges of mergesFromScores: scores %s', (_, scores) => {
    const { pairs, merged } = pairsFromScores(tableOf(tokens), types, scores);
    const texts = Array.from({ length: pairs.length / 2 }, (_, rank) => [
      tokens[pairs[2 * rank]!]!,
      tokens[pairs[2 * rank + 1]!]!,
    ]);
    expect(texts.length).toBeGreaterThan(1000);
    expect(texts).toEqual(mergesFromScores(tokens, types, scores, ids));
    expect(Array.from(merged, (id) => tokens[id])).toEqual(texts.map((pair) => pair.join('')));
  });
});
