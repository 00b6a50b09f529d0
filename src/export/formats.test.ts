import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parseOptions, wordsOf } from '../options.ts';
import { EXPORT_FORMATS, exportFormat, formatOptions } from './formats.node.ts';

describe('the records of export formats', () => {
  it.each(EXPORT_FORMATS)(
    'describe $name and give each of its options a default that its schema accepts',
    (format) => {
      expect(exportFormat(format.name)).toBe(format);
      expect(Object.keys(format.options)).toContain(format.precision);
      expect(Object.keys(format.defaults).sort()).toEqual(Object.keys(format.options).sort());
      expect(parseOptions(z.strictObject(format.options), format.defaults)).toEqual(format.defaults);
      expect(formatOptions(format, {})).toEqual(format.defaults);
      for (const schema of Object.values(format.options))
        expect(wordsOf(schema as z.ZodType)?.help).toBeTruthy();
      for (const line of format.help) expect(line.length).toBeLessThanOrEqual(114);
    },
  );

  it('refuse options of other formats, and name the format that has them', () => {
    expect(() => formatOptions(exportFormat('gguf'), { dtype: 'float16' })).toThrow(
      "dtype: GGUF has no such option; leave it out, or choose to: 'hf' or to: 'onnx'.",
    );
    expect(() => formatOptions(exportFormat('onnx'), { dtype: 'bfloat16' })).toThrow(
      'dtype: give float32 or float16, not "bfloat16".',
    );
    expect(() => exportFormat('pickle')).toThrow('to: give hf, onnx, gguf, not "pickle".');
  });
});
