import { type Command, Option } from 'commander';
import type { OpenedModel } from '../../checkpoint/load.node.ts';
import { RopewalkError } from '../../errors.ts';
import type { DecoderOptions } from '../../generation/decoder.node.ts';
import type { Quantization } from '../../onnx/quantize.ts';
import { type Device, PRECISIONS, type Precision } from '../../runtime/devices.ts';
import { Progress } from '../terminal/progress.ts';
import { count, device as toDevice } from './options.ts';

/** Options for loading a model, for all commands that run one. */
export interface DecoderFlags {
  readonly device?: Device;
  readonly precision?: Precision;
  readonly threads?: number;
  readonly quantize?: 'none' | 'int8' | 'int4';
  readonly block?: '32' | '64' | '128';
  readonly activations?: 'int8' | 'exact';
  readonly layoutCache?: boolean;
}

export const DEVICE_HELP =
  'where to compute: cpu, webgpu, cuda, openvino, or the path of a provider library (see docs/devices.md)';
export const PRECISION_HELP =
  'what the device computes in, if it is not the CPU and offers a choice (default: float32)';

/** Below this many parameters, loading is too short for a progress bar. */
const PROGRESS_FROM = 20e6;

/**
 * @param options.activations whether the command lets choose how activations are rounded; default true.
 * @param options.device whether it lets choose the device, and whether layouts are kept; default true.
 */
export function addDecoderOptions(command: Command, { activations = true, device = true } = {}): Command {
  command.option('--threads <n>', 'threads of the engine', count);
  if (device) {
    command
      .addOption(new Option('--device <name>', DEVICE_HELP).argParser(toDevice).default('cpu'))
      .addOption(new Option('--precision <form>', PRECISION_HELP).choices(PRECISIONS));
  }
  command
    .addOption(
      new Option(
        '--quantize <form>',
        'quantize the weights, or none for float32 (default: as stored)',
      ).choices(['none', 'int8', 'int4']),
    )
    .addOption(
      new Option(
        '--block <n>',
        'values that share a scale, with --quantize int8 or int4 (default: 64)',
      ).choices(['32', '64', '128']),
    );
  if (device) {
    command.option('--no-layout-cache', 'keep no layout of the model, and use none (see ropewalk cache)');
  }
  return !activations
    ? command
    : command.addOption(
        new Option(
          '--activations <form>',
          'activations in quantized products: int8 is faster, exact keeps float32 (default: exact for a quantized file and with --speculate, else int8)',
        ).choices(['int8', 'exact']),
      );
}

/** The options that the flags set. */
export function decoderOptions({
  device,
  precision,
  threads,
  quantize,
  block,
  activations,
  layoutCache,
}: DecoderFlags): DecoderOptions {
  if (block !== undefined && quantize !== 'int8' && quantize !== 'int4') {
    throw new RopewalkError(
      '--block is the block size of --quantize int8 or int4; use it only with --quantize.',
    );
  }
  const how = { device, precision, threads };
  return { ...how, quantize: quantization(quantize, block), activations, layoutCache };
}

function quantization(form: DecoderFlags['quantize'], block: DecoderFlags['block'] = '64') {
  if (form === undefined || form === 'none') return form;
  return { bits: form === 'int8' ? 8 : 4, block: Number(block) } as Quantization;
}

/** A progress bar on stderr while a large model's weights are read. */
export function loadingProgress({ model }: OpenedModel): Pick<DecoderOptions, 'onProgress'> {
  if (model.parameterCount() < PROGRESS_FROM) return {};
  const progress = new Progress();
  return {
    onProgress(share) {
      progress.update('loading', share, 1, `${Math.round(share * 100)} % of the weights`);
      if (share >= 1) progress.end();
    },
  };
}
