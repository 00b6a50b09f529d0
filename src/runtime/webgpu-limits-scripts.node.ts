import { API } from './library.node.ts';

/** Names of functions in a script, with their position and types in the engine's interface. */
const FUNCTIONS = JSON.stringify(
  Object.fromEntries(
    (
      [
        ...([
          'createEnv',
          'createSessionOptions',
          'addSessionConfigEntry',
          'appendExecutionProvider',
        ] as const),
        ...(['createSessionFromArray', 'createMemoryInfo', 'createAllocator', 'createTensor'] as const),
        ...(['getErrorMessage'] as const),
      ] as const
    ).map((name) => [name, API[name]]),
  ),
);

/**
 * Asks WebGPU for a larger binding and for a larger buffer than any device has; the messages name the limits. The second one
 * only goes to the log, on standard error. Both are refused before anything is allocated: `node -e SCRIPT <koffi> <engine>
 * <a model, in base64>`.
 */
export const ENGINE_SCRIPT = `
const [koffiPath, enginePath, encoded] = process.argv.slice(1);
const koffi = require(koffiPath);
const base = koffi.load(enginePath).func('void *OrtGetApiBase()')();
const [getApi] = koffi.decode(base, koffi.array('void *', 2));
const table = koffi.decode(koffi.call(getApi, koffi.proto('void *GetApi(uint32_t version)'), 24), koffi.array('void *', 420));
const api = {};
for (const [name, [at, result, parameters]] of Object.entries(${FUNCTIONS})) {
  const type = koffi.proto(result + ' ' + name + '(' + parameters + ')');
  api[name] = (...args) => koffi.call(table[at], type, ...args);
}
const check = (status) => {
  if (status) throw new Error(api.getErrorMessage(status));
};
const out = (call) => {
  const made = [null];
  check(call(made));
  return made[0];
};
const env = out((made) => api.createEnv(3, 'limits', made));
const model = Buffer.from(encoded, 'base64');
const open = (settings) => {
  const options = out((made) => api.createSessionOptions(made));
  for (const [name, value] of Object.entries(settings))
    check(api.addSessionConfigEntry(options, 'ep.webgpuexecutionprovider.' + name, value));
  check(api.appendExecutionProvider(options, 'WebGPU', null, null, 0));
  return out((made) => api.createSessionFromArray(env, koffi.address(model), model.length, options, made));
};
try {
  open({ maxStorageBufferBindingSize: String(2n ** 63n - 1n) });
} catch (error) {
  console.log(error.message);
}
// Only a device that checks sizes refuses them by name.
const session = open({ validationMode: 'basic' });
const memory = out((made) => api.createMemoryInfo('WebGPU_Buffer', 1, 0, 0, made));
const allocator = out((made) => api.createAllocator(session, memory, made));
const shape = BigInt64Array.of(2n ** 58n);
out((made) => api.createTensor(allocator, koffi.address(shape), 1, 1, made));
// Without the ends of engine and driver.
process.kill(process.pid, 'SIGKILL');
`;

/**
 * Prints the devices of Vulkan's loader, each as a line of JSON: type, name and heaps (vulkan_core.h, 1.1). Prints nothing where
 * there is no loader: \`node -e SCRIPT <koffi>\`.
 */
export const VULKAN_SCRIPT = `
const koffi = require(process.argv[1]);
const loaders = { linux: ['libvulkan.so.1'], win32: ['vulkan-1.dll'] }[process.platform] || [];
let library;
for (const name of loaders) {
  try {
    library = koffi.load(name);
  } catch {}
}
if (!library) process.exit();
const createInstance = library.func('int vkCreateInstance(void *info, void *allocator, _Out_ void **instance)');
const enumerate = library.func('int vkEnumeratePhysicalDevices(void *instance, void *count, void *devices)');
const properties = library.func('void vkGetPhysicalDeviceProperties(void *device, void *out)');
const extensions = library.func('int vkEnumerateDeviceExtensionProperties(void *device, void *layer, void *count, void *out)');
const memoryOf = library.func('void vkGetPhysicalDeviceMemoryProperties2(void *device, void *out)');
const pointer = (buffer) => BigInt(koffi.address(buffer));
// VkApplicationInfo: its version of the interface is 1.1. VkInstanceCreateInfo: its type is 1.
const application = Buffer.alloc(48);
application.writeUInt32LE((1 << 22) | (1 << 12), 44);
const info = Buffer.alloc(64);
info.writeUInt32LE(1, 0);
info.writeBigUInt64LE(pointer(application), 24);
const instance = [null];
if (createInstance(pointer(info), null, instance) !== 0) process.exit();
const count = Buffer.alloc(4);
enumerate(instance[0], pointer(count), null);
const devices = Buffer.alloc(8 * count.readUInt32LE());
enumerate(instance[0], pointer(count), pointer(devices));
for (let i = 0; i < count.readUInt32LE(); i++) {
  const device = devices.readBigUInt64LE(8 * i);
  // VkPhysicalDeviceProperties: type at 16, name at 20.
  const said = Buffer.alloc(1024);
  properties(device, pointer(said));
  const name = said.toString('utf8', 20, said.indexOf(0, 20));
  // Without functions of 1.1 there is no more to learn.
  if (said.readUInt32LE(0) < (1 << 22 | 1 << 12)) continue;
  const number = Buffer.alloc(4);
  extensions(device, null, pointer(number), null);
  const listed = Buffer.alloc(260 * number.readUInt32LE());
  extensions(device, null, pointer(number), pointer(listed));
  const tellsBudget = listed.includes('VK_EXT_memory_budget\\0');
  // VkPhysicalDeviceMemoryBudgetPropertiesEXT: 16 budgets of 8 bytes at 16. VkPhysicalDeviceMemoryProperties2: its
  // content at 16; there, the number of heaps at 260, and heaps of 16 bytes at 264.
  const budgets = Buffer.alloc(272);
  budgets.writeUInt32LE(1000237000, 0);
  const memory = Buffer.alloc(16 + 520);
  memory.writeUInt32LE(1000059006, 0);
  if (tellsBudget) memory.writeBigUInt64LE(pointer(budgets), 8);
  memoryOf(device, pointer(memory));
  const heaps = Array.from({ length: Math.min(16, memory.readUInt32LE(16 + 260)) }, (_, h) => {
    const at = 16 + 264 + 16 * h;
    const size = Number(memory.readBigUInt64LE(at));
    const budget = Number(budgets.readBigUInt64LE(16 + 8 * h));
    return { size, flags: memory.readUInt32LE(at + 8), ...(tellsBudget && budget > 0 && { budget }) };
  });
  console.log(JSON.stringify({ type: said.readUInt32LE(16), name, heaps }));
}
`;
