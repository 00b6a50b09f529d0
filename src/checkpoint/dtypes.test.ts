import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  float64ToFloat32,
} from './dtypes.ts';

/** The value of a code by IEEE 754's definition: sign, exponent and fraction of the given widths. */
function define(code: number, exponentBits: number, fractionBits: number): number {
  const sign = code >> (exponentBits + fractionBits) ? -1 : 1;
  const exponent = (code >> fractionBits) & (2 ** exponentBits - 1);
  const fraction = code & (2 ** fractionBits - 1);
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias - fractionBits);
  return sign * (1 + fraction / 2 ** fractionBits) * 2 ** (exponent - bias);
}

const formats = [
  { name: 'float16', exponent: 5, fraction: 10, widen: float16ToFloat32, narrow: float32ToFloat16 },
  { name: 'bfloat16', exponent: 8, fraction: 7, widen: bfloat16ToFloat32, narrow: float32ToBfloat16 },
] as const;

const codes = Uint16Array.from({ length: 0x10000 }, (_, code) => code);

for (const { name, exponent, fraction, widen, narrow } of formats) {
  const infinity = (2 ** exponent - 1) << fraction;

  test(`${name}: decodes every code to the value of its definition, and encodes it back`, () => {
    const values = new Float32Array(0x10000);
    widen(codes, values);
    const back = new Uint16Array(0x10000);
    narrow(values, back);
    const wrong: number[] = [];
    for (const code of codes) {
      const value = define(code, exponent, fraction);
      if (!Object.is(values[code], value)) wrong.push(code);
      // A signaling NaN may come back quiet; everything else must be the same code.
      const isNaNCode = (back[code]! & infinity) === infinity && (back[code]! & (2 ** fraction - 1)) !== 0;
      if (Number.isNaN(value) ? !isNaNCode || (back[code]! ^ code) & 0x8000 : back[code] !== code)
        wrong.push(code);
    }
    expect(wrong).toEqual([]);
  });

  test(`${name}: rounds to the nearest neighbor, ties to even`, () => {
    const values: number[] = [];
    const expected: number[] = [];
    const step = new Float32Array(1);
    const stepBits = new Uint32Array(step.buffer);
    const next = (value: number, by: number) => {
      step[0] = value;
      stepBits[0] = stepBits[0]! + by;
      return step[0]!;
    };
    for (let code = 0; code < infinity; code++) {
      // One past the largest finite value counts as its power of two when rounding.
      const low = define(code, exponent, fraction);
      const high = code + 1 === infinity ? 2 ** (2 ** (exponent - 1)) : define(code + 1, exponent, fraction);
      const middle = low + (high - low) / 2;
      values.push(middle, next(middle, -1), next(middle, 1));
      expected.push(code % 2 ? code + 1 : code, code, code + 1);
    }
    const count = values.length;
    const both = Float32Array.from({ length: 2 * count }, (_, i) =>
      i < count ? values[i]! : -values[i - count]!,
    );
    const out = new Uint16Array(2 * count);
    narrow(both, out);
    let wrong = 0;
    for (let i = 0; i < count; i++) {
      if (out[i] !== expected[i] || out[i + count] !== (expected[i]! | 0x8000)) wrong++;
    }
    expect(wrong).toBe(0);
  });

  test(`${name}: converts infinities and the largest and smallest float32`, () => {
    const out = new Uint16Array(6);
    narrow(Float32Array.of(Infinity, -Infinity, 3.4028234663852886e38, 1e-45, -1e-45, -0), out);
    expect([...out]).toEqual([infinity, infinity | 0x8000, infinity, 0, 0x8000, 0x8000]);
  });

  test(`${name}: preserves order when narrowing`, () => {
    const float = fc.float({ noNaN: true });
    fc.assert(
      fc.property(float, float, (a, b) => {
        const out = new Uint16Array(2);
        narrow(Float32Array.of(a, b), out);
        const values = new Float32Array(2);
        widen(out, values);
        return a <= b ? values[0]! <= values[1]! : values[0]! >= values[1]!;
      }),
    );
  });

  test(`${name}: keeps a NaN a NaN when its payload lies in the dropped bits`, () => {
    const nan = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
    const out = new Uint16Array(2);
    narrow(nan, out);
    const values = new Float32Array(2);
    widen(out, values);
    expect([...values]).toEqual([Number.NaN, Number.NaN]);
    expect(out[1]! & 0x8000).toBe(0x8000);
  });
}

test('narrowing rounds float64 to the nearest float32', () => {
  const out = new Float32Array(4);
  float64ToFloat32(Float64Array.of(0.1, 1 + 2 ** -24, 1 + 3 * 2 ** -24, 1e300), out);
  expect([...out]).toEqual([0.10000000149011612, 1, 1 + 2 ** -22, Number.POSITIVE_INFINITY]);
});

test('converting refuses arrays of different lengths', () => {
  expect(() => float16ToFloat32(new Uint16Array(2), new Float32Array(3))).toThrow(RangeError);
});
