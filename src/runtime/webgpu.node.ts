import { existsSync } from 'node:fs';
import { listSupportedBackends } from 'onnxruntime-node';
import { option, RopewalkError, said } from '../errors.ts';
import { deviceError } from './device-errors.ts';
import type { EngineSession, OnnxRuntime } from './engine.ts';

/** The same runtime with errors that say what is missing for WebGPU, or what went wrong on the device. */
export function webgpuRuntime(runtime: OnnxRuntime): OnnxRuntime {
  return {
    Tensor: runtime.Tensor,
    InferenceSession: {
      async create(model, options, provided) {
        if (!listSupportedBackends().some(({ name }) => name === 'webgpu')) {
          throw new RopewalkError(
            said`onnxruntime-node has no WebGPU for ${process.platform} on ${process.arch}; run on the CPU (${option('device', 'cpu')}).`,
          );
        }
        try {
          return reported(await runtime.InferenceSession.create(model, options, provided));
        } catch (error) {
          throw webgpuError(error);
        }
      },
    },
  };
}

/** Generating runs sessions; training binds them. */
function reported(session: EngineSession): EngineSession {
  const run = session.run.bind(session);
  return Object.assign(session, {
    run: (...given: Parameters<EngineSession['run']>) =>
      run(...given).catch((error: unknown) => {
        throw deviceError(error, 'generating');
      }),
  });
}

const ON_LINUX =
  " for Vulkan and its loader, libvulkan.so.1 (Debian's libvulkan1); or select a software driver before the program starts, such as Chromium's: VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json LD_LIBRARY_PATH=/usr/lib/chromium";

/** An error of WebGPU with what to do about it, where that is known. */
export function webgpuError(error: unknown): unknown {
  return noAdapter(error) ?? deviceError(error);
}

/**
 * Whether WebGPU can only compute in software here: no device file of a graphics card, or a driver that was selected
 * for it. Undefined where that cannot be told.
 */
export function isSoftwareWebgpu(): boolean | undefined {
  if (process.platform !== 'linux') return undefined;
  const { VK_ICD_FILENAMES = '', VK_DRIVER_FILES = VK_ICD_FILENAMES } = process.env;
  if (/swiftshader|lvp|llvmpipe/i.test(VK_DRIVER_FILES)) return true;
  return !['/dev/dri', '/dev/nvidia0', '/dev/nvidiactl', '/dev/dxg'].some((path) => existsSync(path));
}

function noAdapter(error: unknown): RopewalkError | undefined {
  if (!(error instanceof Error) || !error.message.includes('WebGPU adapter')) return undefined;
  return new RopewalkError(
    said`WebGPU found no usable graphics card. Install the card's driver${process.platform === 'linux' ? ON_LINUX : ''}; or run on the CPU (${option('device', 'cpu')}).`,
    { cause: error },
  );
}
