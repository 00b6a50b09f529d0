import { expect, it } from 'vitest';
import { tableBytes } from './device-weights.ts';

const GIB = 2 ** 30;

it('parts of a table are as large as the device allows, and not larger than was tried', () => {
  expect(tableBytes()).toBe(GIB / 2);
  expect(tableBytes({}, true)).toBe(GIB / 2);
  expect(tableBytes({ bufferBytes: 4 * GIB, bindingBytes: 4 * GIB })).toBe(GIB / 2);
  expect(tableBytes({ bufferBytes: 4 * GIB, bindingBytes: 4 * GIB }, true)).toBe(GIB);
  // Below the limit itself, which SwiftShader names and cannot make.
  expect(tableBytes({ bufferBytes: GIB }, true)).toBe((GIB * 63) / 64);
  expect(tableBytes({ bufferBytes: 4 * GIB, bindingBytes: GIB / 8 })).toBe((GIB / 8 / 64) * 63);
});
