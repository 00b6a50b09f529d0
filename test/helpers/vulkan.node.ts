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

/**
 * Environment of a Vulkan driver in software that may have float16: the one in ROPEWALK_FLOAT16_VULKAN, or Mesa's lavapipe where it is
 * installed. Versions before 24 have too little for WebGPU.
 */
export function float16Vulkan(): NodeJS.ProcessEnv | undefined {
  const { ROPEWALK_FLOAT16_VULKAN: given } = process.env;
  const installed = ['lvp_icd.json', `lvp_icd.${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.json`];
  const files = given ? [given] : installed.map((name) => join('/usr/share/vulkan/icd.d', name));
  const file = files.find((path) => existsSync(path));
  return file === undefined ? undefined : { VK_ICD_FILENAMES: file, VK_DRIVER_FILES: file };
}
