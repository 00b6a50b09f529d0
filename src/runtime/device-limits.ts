/** What is known of a device. What is absent is not told. */
export interface DeviceLimits {
  readonly name?: string;
  readonly kind?: DeviceKind;
  /** The most bytes of one buffer: a tensor is in one. */
  readonly bufferBytes?: number;
  /** The most bytes of a buffer that a kernel sees at once. */
  readonly bindingBytes?: number;
  /** Bytes of memory. Absent for devices that use this machine's. */
  readonly memoryBytes?: number;
  /** Bytes of it that this process may use now. */
  readonly availableBytes?: number;
}

/** `software` is a driver that computes on the processor. */
export type DeviceKind = 'discrete' | 'integrated' | 'virtual' | 'software' | 'other';

/** The most bytes of a tensor on a device; infinity where it is not known. */
export function tensorLimit({ bufferBytes, bindingBytes }: DeviceLimits): number {
  return Math.min(bufferBytes ?? Number.POSITIVE_INFINITY, bindingBytes ?? Number.POSITIVE_INFINITY);
}
