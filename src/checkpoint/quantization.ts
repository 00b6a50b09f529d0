import { option, RopewalkError, said } from '../errors.ts';
import { QUANT_METHOD } from './safetensors/quantized-rows.ts';

type Json = Readonly<Record<string, unknown>>;

/** Common names of the methods in `quantization_config.quant_method`. */
const TITLES: Readonly<Record<string, string>> = {
  bitsandbytes: 'bitsandbytes',
  gptq: 'GPTQ',
  awq: 'AWQ',
  fp8: 'FP8',
  fbgemm_fp8: 'FP8 (FBGEMM)',
  'compressed-tensors': 'compressed-tensors',
  mxfp4: 'MXFP4',
  mlx: 'MLX',
};

/** Methods whose models transformers itself can dequantize. */
const DEQUANTIZED_BY_TRANSFORMERS = ['bitsandbytes', 'fp8', 'mxfp4', 'hqq', 'quanto', 'compressed-tensors'];

/**
 * The method by which another program quantized a model's weights, from config.json's `quantization_config`, or MLX's
 * `quantization`; undefined for none, and for Ropewalk's own.
 */
export function quantizationMethod(config: Json): string | undefined {
  const own = config.quantization_config;
  if (isObject(own)) {
    if (own.quant_method === QUANT_METHOD) return undefined;
    if (typeof own.quant_method === 'string') return own.quant_method;
    if (own.load_in_4bit === true || own.load_in_8bit === true) return 'bitsandbytes';
    if (!isObject(config.quantization)) return 'unknown';
  }
  return isObject(config.quantization) ? 'mlx' : undefined;
}

/** The error for weights that cannot be read because another program quantized them. */
export function quantizedElsewhere(method: string, configName: string, tensor: string): RopewalkError {
  const field = method === 'mlx' ? 'quantization' : 'quantization_config';
  const python = DEQUANTIZED_BY_TRANSFORMERS.includes(method)
    ? ', or dequantize it in Python (AutoModelForCausalLM.from_pretrained(…).dequantize(), then save_pretrained)'
    : '';
  return new RopewalkError(
    said`${configName}: its weights are quantized by ${titleOf(method)} ("${field}"; see "${tensor}"), which is not supported. Use the original model or a GGUF file of it${python}; the option ${option('quantize')} then quantizes it.`,
  );
}

/** The warning for weights that are plain despite the config. */
export function plainAllTheSame(method: string, configName: string): string {
  return `${configName}: it says that the weights are quantized by ${titleOf(method)}, but they are not, and are read unchanged; transformers would quantize them while loading.`;
}

function titleOf(method: string): string {
  return Object.hasOwn(TITLES, method) ? TITLES[method]! : `"${method}"`;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
