import { realpathSync } from 'node:fs';
import { option, RopewalkError, said } from '../../errors.ts';
import type { Dialect } from '../../graph/tensor.ts';
import { type Device, type HardwareType, libraryDevice, type Precision } from '../devices.ts';
import type { Library, Pointer } from '../library.node.ts';
import { cudaLibraries } from './cuda.node.ts';
import { findLibrary } from './find.node.ts';
import { checkLibraryFile } from './library-file.node.ts';
import { openvinoOptions, openvinoPrecisions } from './openvino.ts';
import { tryLibrary, unusable } from './try-library.node.ts';

/** A device that a provider library offers. */
export interface OfferedDevice {
  /** The provider's name in ONNX Runtime, such as `CUDAExecutionProvider`. */
  readonly provider: string;
  /** Who made the provider. */
  readonly vendor: string;
  readonly type: HardwareType;
  readonly hardwareVendor: string;
  /** What the provider tells of itself and the device. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What the engine knows of the hardware. */
  readonly hardware: Readonly<Record<string, string>>;
}

/** A device of a library that sessions can run on. */
export interface SelectedDevice {
  readonly file: string;
  readonly offered: OfferedDevice;
  readonly dialect: Dialect;
  /** Adds it to a session's options. */
  append(settings: Pointer, choices: { readonly threads?: number | undefined }): void;
  /** What went wrong while a session was created, with a remedy. */
  failed(error: unknown): unknown;
}

/**
 * The operators that providers take. OpenVINO's takes all of `library`; for CUDA that is expected, but was not tried. Others
 * are only given ai.onnx.
 */
const dialects: Readonly<Record<string, Dialect>> = {
  OpenVINOExecutionProvider: 'library',
  CUDAExecutionProvider: 'library',
  WebGpuExecutionProvider: 'webgpu',
};

/** OrtHardwareDeviceType */
const TYPES: readonly HardwareType[] = ['cpu', 'gpu', 'npu'];

/** Which of several devices is used if the user names none. */
const PREFERRED: readonly HardwareType[] = ['gpu', 'npu', 'cpu'];

/** Provider libraries in this process: registered with the engine at their first use, and never removed. */
export class ProviderLibraries {
  readonly #library: Library;

  constructor(library: Library) {
    this.#library = library;
  }

  /**
   * The devices that a library offers here. Registers it: its code runs.
   *
   * @throws RopewalkError if the file cannot be used.
   */
  devices(path: string): readonly (OfferedDevice & { readonly pointer: Pointer })[] {
    checkLibraryFile(path);
    const file = realpathSync(path);
    const known = this.#devicesOf(file);
    if (known.length > 0) return known;
    const { api, koffi, env } = this.#library;
    const first = /providers_cuda/.test(file) && process.platform === 'linux' ? cudaLibraries(file) : [];
    tryLibrary(file, this.#library.paths, first);
    for (const path of first) koffi.load(path);
    const encoding = process.platform === 'win32' ? 'utf16le' : 'utf8';
    const name = Buffer.from(`${file}\0`, encoding);
    try {
      this.#library.check(api.registerLibrary(env, file, koffi.address(name)));
    } catch (error) {
      // A thread beside this one may have registered it.
      if (!/already/.test((error as Error).message)) throw unusable(file, (error as Error).message);
    }
    return this.#devicesOf(file);
  }

  /** @throws RopewalkError if there is no such device, or it does not compute in this precision. */
  select(device: Device, precision: Precision = 'float32'): SelectedDevice {
    const chosen = libraryDevice(device);
    if (!chosen) throw new RopewalkError(`${device} is no device of a provider library.`);
    const path = findLibrary(chosen.library);
    const all = this.devices(path);
    if (all.length === 0) {
      throw new RopewalkError(
        said`${path} offers no device on this machine. ${isOpenvino(path) ? "OpenVINO's library offers processors, graphics cards and NPUs by Intel alone; docs/devices.md says how to run it on other processors. Otherwise" : 'Check that its hardware and driver are there;'} run on the CPU (${option('device', 'cpu')}).`,
      );
    }
    const { which } = chosen;
    const order = 'name' in chosen.library && chosen.library.name === 'openvino' ? ['cpu'] : PREFERRED;
    const offered =
      typeof which === 'number'
        ? all[which]
        : which !== undefined
          ? all.find(({ type }) => type === which)
          : (order.map((type) => all.find((one) => one.type === type)).find((one) => one !== undefined) ??
            all[0]);
    if (!offered) {
      throw new RopewalkError(
        said`${option('device')}: ${path} offers ${all.map(({ type }, i) => `${type} (${i})`).join(', ')}, but no device ${String(which)}.`,
      );
    }
    const openvino = offered.metadata.ov_device;
    const precisions = openvino === undefined ? ['float32'] : openvinoPrecisions(offered.metadata);
    if (!precisions.includes(precision)) {
      throw new RopewalkError(
        said`${option('precision', precision)} is not possible on ${deviceText(offered)}: it computes in ${precisions.join(', ')}${openvino === undefined ? '' : ` (OPTIMIZATION_CAPABILITIES: ${offered.metadata.OPTIMIZATION_CAPABILITIES ?? 'not told'})`}.`,
      );
    }
    return {
      file: path,
      offered,
      dialect: dialects[offered.provider] ?? 'standard',
      failed: (error) =>
        error instanceof RopewalkError
          ? error
          : new RopewalkError(
              said`${deviceText(offered)} cannot run this graph: ${error instanceof Error ? error.message : String(error)}. Run on the CPU (${option('device', 'cpu')}).`,
              { cause: error },
            ),
      append: (settings, { threads }) =>
        this.#append(
          settings,
          offered.pointer,
          openvino === undefined ? {} : openvinoOptions(openvino, precision, threads),
        ),
    };
  }

  #append(settings: Pointer, device: Pointer, options: Readonly<Record<string, string>>): void {
    const { api, koffi, env } = this.#library;
    const texts = (values: readonly string[]) => values.map((value) => Buffer.from(`${value}\0`));
    const [keys, values] = [texts(Object.keys(options)), texts(Object.values(options))];
    const addresses = (buffers: readonly Buffer[]) =>
      BigUint64Array.from(buffers, (text) => koffi.address(text));
    const [keyAddresses, valueAddresses] = [addresses(keys), addresses(values)];
    const devices = BigUint64Array.of(BigInt(device));
    this.#library.check(
      api.appendDevices(
        ...[settings, env, koffi.address(devices), 1],
        ...(keys.length > 0 ? [koffi.address(keyAddresses), koffi.address(valueAddresses)] : [null, null]),
        keys.length,
      ),
    );
  }

  /** The registered devices of a file. OpenVINO also offers each once more through its meta-devices, such as AUTO. */
  #devicesOf(file: string) {
    const { api, koffi, env } = this.#library;
    const [list, count]: [unknown[], number[]] = [[null], [0]];
    this.#library.check(api.getDevices(env, list, count));
    const pointers = koffi.decode(list[0], koffi.array('void *', Number(count[0]))) as Pointer[];
    return pointers
      .map((pointer) => this.#describe(pointer))
      .filter(({ metadata }) => metadata.library_path === file && metadata.ov_meta_device === undefined);
  }

  #describe(pointer: Pointer): OfferedDevice & { readonly pointer: Pointer } {
    const { api } = this.#library;
    const hardware = api.deviceHardware(pointer);
    return {
      pointer,
      provider: String(api.deviceProvider(pointer)),
      vendor: String(api.deviceVendor(pointer)),
      type: TYPES[Number(api.hardwareType(hardware))] ?? 'cpu',
      hardwareVendor: String(api.hardwareVendor(hardware)),
      metadata: this.#pairs(api.deviceMetadata(pointer)),
      hardware: this.#pairs(api.hardwareMetadata(hardware)),
    };
  }

  #pairs(pairs: unknown): Record<string, string> {
    const { api, koffi } = this.#library;
    const [keys, values, count]: [unknown[], unknown[], number[]] = [[null], [null], [0]];
    api.getPairs(pairs, keys, values, count);
    const length = Number(count[0]);
    if (length === 0) return {};
    const read = (from: unknown) => koffi.decode(from, koffi.array('const char *', length)) as string[];
    const texts = read(values[0]);
    return Object.fromEntries(read(keys[0]).map((key, i) => [key, String(texts[i])]));
  }
}

/** How a device is named in messages: `OpenVINOExecutionProvider (cpu, AMD EPYC)`. */
export function deviceText({ provider, type, hardwareVendor, metadata }: OfferedDevice): string {
  return `${provider} (${type}, ${metadata.FULL_DEVICE_NAME ?? hardwareVendor})`;
}

function isOpenvino(path: string): boolean {
  return /openvino/i.test(path);
}
