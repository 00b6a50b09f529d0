import { option, RopewalkError, said } from '../errors.ts';

/**
 * Where a model runs: on the processor (`cpu`), on a graphics card through WebGPU (`webgpu`), or on what a provider library
 * of the user's offers: `cuda`, `openvino`, or the path of a library. After a library, `:cpu`, `:gpu`, `:npu` or a number
 * selects one of its devices: `openvino:gpu`, `cuda:1`.
 */
export type Device = 'cpu' | 'webgpu' | 'cuda' | 'openvino' | (string & {});

/** The precision that a device computes in. What goes in and comes out is float32. */
export type Precision = 'float32' | 'bfloat16' | 'float16';

export const PRECISIONS: readonly Precision[] = ['float32', 'bfloat16', 'float16'];

/** The provider libraries that have a name. */
export type LibraryName = 'cuda' | 'openvino';

export type HardwareType = 'cpu' | 'gpu' | 'npu';

/** A device of a provider library, as the user chose it. */
export interface LibraryDevice {
  /** A library's name, or the path of a file. */
  readonly library: { readonly name: LibraryName } | { readonly path: string };
  /** The type or the position of the device; by default the first of the usual type. */
  readonly which: HardwareType | number | undefined;
}

const PATH = /[/\\]|\.(?:so(?:\.\d+)*|dylib|dll)$/i;
const WHICH = /:(cpu|gpu|npu|\d{1,3})$/;

/** What the name of a library's device says; undefined for every other device. */
export function libraryDevice(device: Device): LibraryDevice | undefined {
  const [suffix = '', chosen] = WHICH.exec(device) ?? [];
  const name = device.slice(0, device.length - suffix.length);
  const which = chosen && /\d/.test(chosen) ? Number(chosen) : (chosen as HardwareType | undefined);
  if (name === 'cuda' || name === 'openvino') return { library: { name }, which };
  return PATH.test(name) ? { library: { path: name }, which } : undefined;
}

/** Whether this is the name of a device, or looks like the path of a library. */
export function isDevice(name: string): name is Device {
  return name === 'cpu' || name === 'webgpu' || libraryDevice(name) !== undefined;
}

/** @throws RopewalkError for a name that is no device. */
export function checkDevice(device: Device): Device {
  if (isDevice(device)) return device;
  throw new RopewalkError(
    said`${option('device')} must be cpu, webgpu, cuda, openvino or the path of a provider library, but is ${String(device)}.`,
  );
}
