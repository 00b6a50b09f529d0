import { type MessagePart, option, RopewalkError, said } from '../errors.ts';

/** What ended the use of a device: it is gone, its memory was not enough, or it has no kernel for an operator. */
export type DeviceProblem = 'lost' | 'memory' | 'kernel';

/** What a device is used for: that decides what helps. */
export type DeviceUse = 'training' | 'generating';

/** An error whose cause is the device. */
export class DeviceError extends RopewalkError {
  override name = 'DeviceError';

  constructor(
    readonly problem: DeviceProblem,
    message: string | readonly MessagePart[],
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** How the engine, and the implementation of WebGPU in it, say so. */
const LOST = /\bdevice\b\W*((is|was) )?lost\b|DeviceLost/i;

/** Of a buffer that could not be made, whatever is done with it then is refused: a pass, a copy, or reading what was copied. */
const NO_ROOM =
  /\[?Invalid (Buffer|BindGroup|CommandBuffer)|out of memory|OutOfMemory|OUT_OF_(DEVICE|HOST)_MEMORY|(exceeds|larger than) the max(imum)? (storage )?(buffer|binding)/i;

/** An error of the engine while it uses a device, in the user's terms where the cause is known. */
export function deviceError(error: unknown, use: DeviceUse = 'training'): unknown {
  if (error instanceof RopewalkError) return error;
  const text = error instanceof Error ? error.message : String(error);
  if (LOST.test(text)) return deviceLost(error);
  if (NO_ROOM.test(text)) return noRoom(error, use);
  // See `SessionSettings.onDeviceOnly`.
  if (text.includes('fallback to CPU EP')) {
    return new DeviceError(
      'kernel',
      said`an operator of the model or of its loss has no kernel on this device; run on the CPU (${option('device', 'cpu')}).`,
      { cause: error },
    );
  }
  return error;
}

export function deviceLost(cause: unknown): DeviceError {
  return new DeviceError(
    'lost',
    said`the graphics card stopped or was taken away. What was saved is untouched: resume from there, on the same device or on the CPU (${option('device', 'cpu')}).`,
    { cause },
  );
}

/** The device could not allocate something. */
export function noRoom(cause: unknown, use: DeviceUse = 'training'): DeviceError {
  const what = 'the graphics card has too little memory for this, or its largest buffer is too small. ';
  const cpu = option('device', 'cpu');
  const helps =
    use === 'training'
      ? said`Choose ${option('memory', 'recompute')} or ${option('memory', 'light')}, a smaller ${option('batch')} or ${option('seq')}, or the CPU (${cpu}).`
      : said`Quantize the weights (${option('quantize', 'int4')}), shorten the prompt, or choose the CPU (${cpu}).`;
  return new DeviceError('memory', [what, ...helps], { cause });
}
