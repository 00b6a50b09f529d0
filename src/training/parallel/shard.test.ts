import { describe, expect, it } from 'vitest';
import { SHARDS, stepBytes, WIRES } from './shard.ts';

const sizes = { weights: 1000, gradients: 1000 };

describe('bytes that a rank sends in a step', () => {
  it('are the shares of the literature: as much with states as with nothing sharded, half as much again with all', () => {
    const each = SHARDS.map((shard) => stepBytes(shard, 4, sizes) / 4000);
    expect(each).toEqual([1.5, 1.5, 2.25]);
    expect(SHARDS.map((shard) => stepBytes(shard, 1, sizes))).toEqual([0, 0, 0]);
  });

  it('are half for gradients in bfloat16', () => {
    const [full, half] = WIRES.map((wire) => stepBytes('none', 2, sizes, wire));
    expect(half).toBe(full! / 2);
  });
});
