import type { DeviceLimits } from '../../runtime/device-limits.ts';

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 1)} GB`;

/** A device in a line: its name, memory and largest buffer, and what of them is not known. */
export function limitsText({
  name = 'name not known',
  kind,
  memoryBytes,
  availableBytes = memoryBytes,
  bufferBytes,
  bindingBytes,
}: DeviceLimits): string {
  const memory =
    kind === 'software'
      ? "in software, with this machine's memory"
      : memoryBytes === undefined
        ? 'memory not known'
        : `${gigabytes(availableBytes!)} of ${gigabytes(memoryBytes)} available`;
  const size = (bytes: number | undefined) => (bytes === undefined ? 'not known' : gigabytes(bytes));
  const buffers = `largest buffer ${size(bufferBytes)}, in one binding ${size(bindingBytes)}`;
  return [name, ...(kind && kind !== 'software' && kind !== 'other' ? [kind] : []), memory, buffers].join(
    '; ',
  );
}
