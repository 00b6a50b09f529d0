import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RopewalkError } from '../errors.ts';
import { sharedKernels } from '../kernels/kernel-module.ts';
import { allocBeside, HostMemory } from './host-memory.ts';

const mebi = 2 ** 20;

describe('HostMemory', () => {
  it('gives zeroed, aligned views that do not overlap', () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 30 });
    fc.assert(
      fc.property(lengths, (list) => {
        const memory = new HostMemory();
        const views = list.map((n) => memory.allocFloat32(n));
        views.forEach((view, i) => {
          expect(view.length).toBe(list[i]);
          expect(view.byteOffset % 64).toBe(0);
          expect(view.every((x) => x === 0)).toBe(true);
          view.fill(i + 1);
        });
        views.forEach((view, i) => {
          expect(view.every((x) => x === i + 1)).toBe(true);
        });
      }),
      { numRuns: 30 },
    );
  });

  it('shares one memory among small requests and gives a large one its own', () => {
    const memory = new HostMemory();
    const a = memory.allocFloat32(1000);
    const big = memory.allocFloat32(16 * mebi + 1);
    const b = memory.allocInt32(1000);
    expect(b.buffer).toBe(a.buffer);
    expect(big.buffer).not.toBe(a.buffer);
    expect(big.length).toBe(16 * mebi + 1);
    expect(memory.reservedBytes).toBe(128 * mebi + 65536);
    expect(memory.usedBytes).toBe(2 * 4032 + 64 * mebi + 64);
  });

  it('keeps a group on one memory with kernels', () => {
    const memory = new HostMemory();
    memory.allocFloat32(15 * mebi);
    const group = memory.allocGroup([mebi, mebi, 3]);
    expect(group.map(({ length }) => length)).toEqual([mebi, mebi, 3]);
    expect(sharedKernels(group[0]!, ...group)).toBeDefined();
  });

  it('packs groups into as few memories as can hold them', () => {
    const memory = new HostMemory();
    // 3 groups of 1.5 GiB: two fit one memory. Untouched memory costs only address space.
    const quarter = 96 * mebi;
    const groups = memory.allocGroups(Array.from({ length: 3 }, () => [quarter, quarter, quarter, quarter]));
    const buffers = groups.map((group) => {
      expect(new Set(group.map(({ buffer }) => buffer)).size).toBe(1);
      return group[0]!.buffer;
    });
    expect(buffers[1]).toBe(buffers[0]);
    expect(buffers[2]).not.toBe(buffers[0]);
    expect(memory.reservedBytes).toBe(3 * 4 * 4 * quarter);
    const last = groups[1]![3]!;
    last[quarter - 1] = 7;
    expect(last[quarter - 1]).toBe(7);
  });

  it('reserves room beside groups for later requests', () => {
    const memory = new HostMemory();
    const groups = memory.allocGroups([[100], [3, 5]], [1000, 64]);
    const [value] = groups[0]!;
    // Others take none of it.
    expect(memory.allocFloat32(10).buffer === value!.buffer).toBe(false);
    const [a, b] = allocBeside(groups[1]![0]!, [900, 64])!;
    expect([a!.buffer === value!.buffer, a!.length, b!.length]).toEqual([true, 900, 64]);
    expect([a!.byteOffset % 64, b!.byteOffset % 64]).toEqual([0, 0]);
    // What is left is the rest of a page.
    expect(allocBeside(value!, [65536])).toBeUndefined();
    expect(allocBeside(new Float32Array(1), [1])).toBeUndefined();
    // A group of nearly 4 GiB has no room.
    const size = 2 ** 30 - 2 ** 15;
    expect(memory.allocGroups([[size]], [size])[0]![0]!.length).toBe(size);
  });

  it('gives independent views in separate instances', () => {
    const a = new HostMemory().allocFloat32(4);
    const b = new HostMemory().allocFloat32(4);
    expect(sharedKernels(a, b)).toBeUndefined();
    expect(sharedKernels(new Float32Array(4))).toBeUndefined();
  });

  it('refuses impossible lengths and groups with one readable message', () => {
    const memory = new HostMemory();
    expect(() => memory.allocFloat32(-1)).toThrow(RopewalkError);
    expect(() => memory.allocFloat32(1.5)).toThrow(RopewalkError);
    expect(() => memory.allocGroup([2 ** 29, 2 ** 29])).toThrow('one WebAssembly memory holds 4,096 MiB');
  });

  it('throws a clear error when the system refuses memory', () => {
    const original = WebAssembly.Memory;
    WebAssembly.Memory = class {
      constructor() {
        throw new RangeError('could not allocate memory');
      }
    } as unknown as typeof WebAssembly.Memory;
    try {
      expect(() => new HostMemory().allocFloat32(32 * mebi)).toThrow(
        /128 MiB of memory could not be allocated.*smaller/,
      );
    } finally {
      WebAssembly.Memory = original;
    }
  });
});
