import { expect, test } from 'vitest';
import { toConfigJson } from './json.ts';
import { findDuplicateKey } from './json-keys.ts';

test('the JSON writer writes float fields with a decimal point, and leaves integers and strings alone', () => {
  const config = {
    final_logit_softcapping: 30,
    query_pre_attn_scalar: 256,
    rms_norm_eps: 1e-6,
    attention_dropout: 0,
    rope_scaling: { factor: 8, low_freq_factor: 1, original_max_position_embeddings: 8192 },
    note: '"rope_theta": 3',
    rope_theta: 500000,
  };
  const text = toConfigJson(config);
  expect(text).toContain('"final_logit_softcapping": 30.0,');
  expect(text).toContain('"query_pre_attn_scalar": 256,');
  expect(text).toContain('"rms_norm_eps": 0.000001,');
  expect(text).toContain('"attention_dropout": 0.0,');
  expect(text).toContain('"factor": 8.0,');
  expect(text).toContain('"original_max_position_embeddings": 8192');
  expect(text).toContain('"rope_theta": 500000.0\n');
  expect(JSON.parse(text)).toEqual(config);
});

test('the JSON reader finds duplicate keys at any depth, however they are written', () => {
  expect(findDuplicateKey('{"a": 1, "b": {"a": 2}, "c": [{"a": 1}, {"a": 1}]}')).toBeUndefined();
  expect(findDuplicateKey('{"a": 1, "b": 2, "a": 3}')).toBe('a');
  expect(findDuplicateKey('{"x": [{"a\\"b": 1, "a\\u0022b" : 2}]}')).toBe('a"b');
  expect(findDuplicateKey('{"a": "a", "b": "a", "c": ["a", "a"]}')).toBeUndefined();
  expect(findDuplicateKey('{"\\\\": 1, "b": "}{", "c": "\\\\"}')).toBeUndefined();
});
