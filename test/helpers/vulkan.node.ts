import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findChromium } from './browser.node.ts';

/**
 * Environment in which WebGPU computes in software: with the SwiftShader and the Vulkan loader that Chromium brings.
 * Undefined where no Chromium has them. A process must be started with it.
 */
export function softwareVulkan(): NodeJS.ProcessEnv | undefined {
  const chromium = findChromium();
  const folders = ['/usr/lib/chromium', ...(chromium ? [dirname(realpathSync(chromium))] : [])];
  const files = ['vk_swiftshader_icd.json', 'libvulkan.so.1'];
  const folder = folders.find((path) => files.every((file) => existsSync(join(path, file))));
  return folder === undefined
    ? undefined
    : { VK_ICD_FILENAMES: join(folder, files[0]!), LD_LIBRARY_PATH: folder };
}
