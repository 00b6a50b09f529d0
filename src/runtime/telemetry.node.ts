import { isMainThread } from 'node:worker_threads';
import type { Koffi } from './library.node.ts';

const NAME = 'ORT_DISABLE_TELEMETRY';

/**
 * Turns off the telemetry of ONNX Runtime's official Linux builds, which since 1.29 report sessions and models to
 * Microsoft by default. A value that the user set for ORT_DISABLE_TELEMETRY is kept. This also avoids a crash: to
 * report the command line, 1.30 searches it recursively, and one of 7 kB (a long prompt) overflows the stack.
 *
 * Call before the engine's environment is created.
 *
 * @param koffi sets the process's environment from a worker thread, whose `process.env` is a copy.
 */
export function refuseTelemetry(koffi?: Koffi): void {
  process.env[NAME] ??= '1';
  if (isMainThread || !koffi || process.platform !== 'linux') return;
  try {
    const setenv = koffi
      .load('libc.so.6')
      .func('int setenv(const char *name, const char *value, int overwrite)');
    setenv(NAME, '1', 0);
  } catch {
    // A C library with another name: only the main thread can then set the variable.
  }
}
