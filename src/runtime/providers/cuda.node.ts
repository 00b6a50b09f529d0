import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { sitePackages } from './find.node.ts';

/** CUDA's own libraries that the provider needs, each after those that it needs itself. */
const NEEDED = ['cudart', 'cublasLt', 'cublas', 'curand', 'cufft', 'nvrtc', 'cudnn'];

/**
 * CUDA's libraries in the Python packages beside a provider library (`nvidia-cublas` and others, in
 * `site-packages/nvidia`). The system's loader does not look there; once they are loaded, it finds them by their names.
 *
 * @param file the provider library, in `site-packages/onnxruntime/capi`.
 */
export function cudaLibraries(file: string): string[] {
  const beside = resolve(file, '..', '..', '..');
  for (const packages of new Set([beside, ...sitePackages()])) {
    const root = join(packages, 'nvidia');
    const found = list(root).flatMap((name) => {
      const folder = join(root, name, 'lib');
      return list(folder).map((entry) => join(folder, entry));
    });
    const libraries = NEEDED.flatMap((name) => found.filter((path) => isLibrary(path, name)));
    if (libraries.length > 0) return libraries;
  }
  return [];
}

/** `libcublas.so.13`, not `libcublas.so` or `libcublas_static.a`. */
function isLibrary(path: string, name: string): boolean {
  return new RegExp(`/lib${name}\\.so\\.\\d+$`).test(path);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
