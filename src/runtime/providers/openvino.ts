import type { Precision } from '../devices.ts';

/** OpenVINO's names of precisions: in what a device lists as its capabilities, and in its settings. */
const NAMES: Readonly<Record<Precision, { readonly capability: string; readonly hint: string }>> = {
  float32: { capability: 'FP32', hint: 'f32' },
  bfloat16: { capability: 'BF16', hint: 'bf16' },
  float16: { capability: 'FP16', hint: 'f16' },
};

/** The precisions that the hardware has instructions for; OpenVINO emulates others, slowly. */
export function openvinoPrecisions(metadata: Readonly<Record<string, string>>): readonly Precision[] {
  const capabilities = (metadata.OPTIMIZATION_CAPABILITIES ?? 'FP32').split(/\s+/);
  return (Object.keys(NAMES) as Precision[]).filter((name) => capabilities.includes(NAMES[name].capability));
}

/**
 * The provider's options for a device, such as `CPU` or `GPU.1`. The precision is always set: OpenVINO itself chooses
 * bfloat16 or float16 where the hardware has them. Activations keep it.
 */
export function openvinoOptions(
  device: string,
  precision: Precision,
  threads?: number,
): Record<string, string> {
  const [type] = device.split('.');
  const settings = {
    INFERENCE_PRECISION_HINT: NAMES[precision].hint,
    // By default activations of products with quantized weights are rounded to 8 bits: 4 % off on a tiny model.
    ...(type !== 'NPU' && { DYNAMIC_QUANTIZATION_GROUP_SIZE: 0 }),
    ...(threads !== undefined && type === 'CPU' && { INFERENCE_NUM_THREADS: threads }),
  };
  return { load_config: JSON.stringify({ [type!]: settings }) };
}
