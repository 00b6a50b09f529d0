import { type MessagePart, option, RopewalkError, said } from '../errors.ts';

/** What ended the use of a device: it is gone, its memory was not enough, or it has no kernel for an operator. */
export type DeviceProblem = 'lost' | 'memory' | 'kernel';

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

/** An error of the engine while it uses a device, in the user's terms where the cause is known. */
export function deviceError(error: unknown): unknown {
  if (error instanceof RopewalkError) return error;
  const text = error instanceof Error ? error.message : String(error);
  if (/device (is|was) lost|DeviceLost|Device lost/i.test(text)) return deviceLost(error);
  if (/Invalid Buffer|out of memory|OutOfMemory|exceeds the max/i.test(text)) {
    return noRoom(error);
  }
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
export function noRoom(cause: unknown): DeviceError {
  return new DeviceError(
    'memory',
    said`the graphics card has too little memory for this, or its largest buffer is too small. Choose ${option('memory', 'recompute')} or ${option('memory', 'light')}, a smaller ${option('batch')}, or the CPU (${option('device', 'cpu')}).`,
    { cause },
  );
}
