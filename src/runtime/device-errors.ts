import { option, RopewalkError, said } from '../errors.ts';

/** An error of the engine while it uses a device, in the user's terms where the cause is known. */
export function deviceError(error: unknown): unknown {
  const text = error instanceof Error ? error.message : String(error);
  if (/device (is|was) lost|DeviceLost|Device lost/i.test(text)) {
    return new RopewalkError(
      said`the graphics card stopped or was taken away. What was saved is untouched: resume from there, on the same device or on the CPU (${option('device', 'cpu')}).`,
      { cause: error },
    );
  }
  if (/Invalid Buffer|out of memory|OutOfMemory|exceeds the max/i.test(text)) {
    return noRoom(error);
  }
  return error;
}

/** The device could not allocate something. */
export function noRoom(cause: unknown): RopewalkError {
  return new RopewalkError(
    said`the graphics card has too little memory for this, or its largest buffer is too small. Choose ${option('memory', 'recompute')} or ${option('memory', 'light')}, a smaller ${option('batch')}, or the CPU (${option('device', 'cpu')}).`,
    { cause },
  );
}
