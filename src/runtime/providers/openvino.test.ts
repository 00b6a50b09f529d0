import { describe, expect, it } from 'vitest';
import { openvinoOptions, openvinoPrecisions } from './openvino.ts';

describe('OpenVINO', () => {
  it.each([
    ['BF16 WINOGRAD FP32 INT8 BIN EXPORT_IMPORT', ['float32', 'bfloat16']],
    ['FP32 FP16 INT8 BIN', ['float32', 'float16']],
    ['FP32 INT8', ['float32']],
    ['BF16_EMULATED FP32', ['float32']],
    [undefined, ['float32']],
  ])('with the capabilities %s computes in %j', (capabilities, precisions) => {
    expect(
      openvinoPrecisions(capabilities === undefined ? {} : { OPTIMIZATION_CAPABILITIES: capabilities }),
    ).toEqual(precisions);
  });

  it.each([
    [
      'CPU',
      'float32',
      2,
      {
        CPU: {
          INFERENCE_PRECISION_HINT: 'f32',
          DYNAMIC_QUANTIZATION_GROUP_SIZE: 0,
          INFERENCE_NUM_THREADS: 2,
        },
      },
    ],
    ['GPU.1', 'float16', 2, { GPU: { INFERENCE_PRECISION_HINT: 'f16', DYNAMIC_QUANTIZATION_GROUP_SIZE: 0 } }],
    ['NPU', 'bfloat16', undefined, { NPU: { INFERENCE_PRECISION_HINT: 'bf16' } }],
  ] as const)('on %s in %s with %s threads is configured so', (device, precision, threads, expected) => {
    expect(JSON.parse(openvinoOptions(device, precision, threads).load_config!)).toEqual(expected);
  });
});
