import { isMainThread } from 'node:worker_threads';
import type { Koffi } from './library.node.ts';

const NAME = 'ORT_DISABLE_TELEMETRY';

/**
 * Turns off what ONNX Runtime's official Linux builds do since 1.29 unless told otherwise: report sessions and models to
 * its maker. Whoever sets ORT_DISABLE_TELEMETRY decides for himself. It also ends a crash: to report the command line,
 * 1.30 searches it by recursion, and one of 7 kB (a long prompt) overflows the stack.
 *
 * To be called before the engine's environment is created.
 *
 * @param koffi reaches the process's own environment from a worker thread, whose `process.env` is a copy.
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
    // A C library of another name: then only the main thread can tell the engine.
  }
}
