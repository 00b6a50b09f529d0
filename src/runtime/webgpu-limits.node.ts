import { execFile } from 'node:child_process';
import { input, mul, scalar } from '../graph/operators/index.ts';
import { emitModel } from '../onnx/emit.ts';
import type { DeviceKind, DeviceLimits } from './device-limits.ts';
import { enginePaths } from './library.node.ts';
import { ENGINE_SCRIPT, VULKAN_SCRIPT } from './webgpu-limits-scripts.node.ts';

/** A graphics driver may take seconds to start. */
const LIMIT_MS = 60_000;

let known: Promise<DeviceLimits> | undefined;

/**
 * The limits of the device that WebGPU computes on. The engine does not tell them, but names them when it refuses more: a child
 * process asks it for too much. Name and memory are from Vulkan's loader, where there is one. In a process of its own, since a
 * driver that crashes takes its process with it. Nothing is allocated on the device.
 *
 * @returns what is known, which is nothing where there is no device, or no koffi.
 */
export function webgpuLimits(): Promise<DeviceLimits> {
  known ??= findLimits();
  return known;
}

async function findLimits(): Promise<DeviceLimits> {
  const paths = enginePaths();
  if (!paths) return {};
  const graph = new Map([['y', mul(input('x', 'float32', [1]), scalar(2))]]);
  const model = Buffer.from(emitModel(graph, { dialect: 'webgpu' }).bytes).toString('base64');
  const [engine, vulkan] = await Promise.all([
    outputOf(ENGINE_SCRIPT, [paths.koffi, paths.engine, model]),
    outputOf(VULKAN_SCRIPT, [paths.koffi]),
  ]);
  const limits = limitsIn(engine);
  // A device that WebGPU cannot use is not what computes.
  return limits.bufferBytes === undefined && limits.bindingBytes === undefined
    ? {}
    : { ...describe(vulkan), ...limits };
}

/** What a script printed, or what it had printed when it failed. */
function outputOf(script: string, args: readonly string[]): Promise<string> {
  const { versions } = process;
  if (versions.bun || versions.deno || versions.electron) return Promise.resolve('');
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['-e', script, ...args],
      { timeout: LIMIT_MS, windowsHide: true, env: { ...process.env, NODE_OPTIONS: '' } },
      (_error, stdout, stderr) => resolve(`${stdout}\n${stderr}`),
    );
  });
}

/** The limits that the engine's messages name. */
export function limitsIn(messages: string): DeviceLimits {
  const number = (pattern: RegExp) => {
    const digits = pattern.exec(messages)?.[1];
    return digits === undefined ? undefined : Number(digits);
  };
  const bindingBytes = number(
    /greater than the supported limit \((\d+)\)\.\s+- While validating maxStorageBufferBindingSize/,
  );
  const bufferBytes = number(/exceeds the max buffer size limit \((\d+)\)/);
  return {
    ...(bufferBytes !== undefined && { bufferBytes }),
    ...(bindingBytes !== undefined && { bindingBytes }),
  };
}

/** A device that Vulkan's loader lists: {@link VULKAN_SCRIPT} prints them. */
interface VulkanDevice {
  /** VkPhysicalDeviceType. */
  readonly type: number;
  readonly name: string;
  readonly heaps: readonly {
    readonly size: number;
    /** VkMemoryHeapFlags; 1 is the device's own memory. */
    readonly flags: number;
    /** What this process may use now; only with VK_EXT_memory_budget. */
    readonly budget?: number;
  }[];
}

const KINDS: Readonly<Record<number, DeviceKind>> = {
  1: 'integrated',
  2: 'discrete',
  3: 'virtual',
  4: 'software',
};

/** The order in which the engine prefers devices. */
const PREFERRED: readonly DeviceKind[] = ['discrete', 'integrated', 'software', 'virtual', 'other'];

/**
 * Name, kind and memory of the device that the engine takes: one of the kind that it prefers. Of several of that kind, what they
 * have in common, and the least memory.
 *
 * @param printed by {@link VULKAN_SCRIPT}.
 */
export function describe(printed: string): DeviceLimits {
  const devices = printed
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as VulkanDevice)
    .map((device) => ({ ...device, kind: KINDS[device.type] ?? ('other' as const) }));
  const kind = PREFERRED.find((each) => devices.some((device) => device.kind === each));
  if (kind === undefined) return {};
  const candidates = devices.filter((device) => device.kind === kind);
  const names = new Set(candidates.map(({ name }) => name));
  const [name] = names;
  const known = { kind, ...(names.size === 1 && { name: name! }) };
  // Such a driver has this machine's memory, whatever it says.
  if (kind === 'software') return known;
  const own = candidates.map(({ heaps }) => {
    const [largest] = heaps.filter(({ flags }) => flags & 1).sort((a, b) => b.size - a.size);
    return { size: largest?.size ?? 0, available: largest?.budget ?? largest?.size ?? 0 };
  });
  const memoryBytes = Math.min(...own.map(({ size }) => size));
  const availableBytes = Math.min(...own.map(({ available }) => available));
  return memoryBytes > 0 && availableBytes > 0 ? { ...known, memoryBytes, availableBytes } : known;
}
