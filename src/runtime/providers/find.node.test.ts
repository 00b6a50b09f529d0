import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cudaLibraries } from './cuda.node.ts';
import { findLibrary } from './find.node.ts';

let root: string;
const put = (...parts: string[]) => {
  const path = join(root, ...parts);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  return path;
};
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'providers-'));
});
afterAll(() => rmSync(root, { recursive: true }));

const linux = { platform: 'linux', arch: 'x64' };
const openvino = { name: 'openvino' } as const;
const OPENVINO = ['site-packages', 'onnxruntime_ep_openvino', 'libonnxruntime_providers_openvino_plugin.so'];

describe('a provider library', () => {
  it('that is given by its path is that file', () => {
    expect(findLibrary({ path: 'some/library.so' }, { ...linux, env: {} })).toBe(resolve('some/library.so'));
  });

  it('is found in an active Python environment, and its variable takes precedence', () => {
    const inVenv = put('venv', 'lib', 'python3.12', ...OPENVINO);
    const inConda = put('conda', 'lib', 'python3.13t', ...OPENVINO);
    const VIRTUAL_ENV = join(root, 'venv');
    const CONDA_PREFIX = join(root, 'conda');
    expect(findLibrary(openvino, { ...linux, env: { VIRTUAL_ENV, CONDA_PREFIX } })).toBe(inVenv);
    expect(findLibrary(openvino, { ...linux, env: { CONDA_PREFIX } })).toBe(inConda);
    const ROPEWALK_OPENVINO_LIBRARY = '/elsewhere/library.so';
    expect(findLibrary(openvino, { ...linux, env: { VIRTUAL_ENV, ROPEWALK_OPENVINO_LIBRARY } })).toBe(
      resolve(ROPEWALK_OPENVINO_LIBRARY),
    );
  });

  it('is found in a Python environment of Windows', () => {
    const file = put(
      'windows',
      'Lib',
      'site-packages',
      'onnxruntime',
      'capi',
      'onnxruntime_providers_cuda.dll',
    );
    const env = { VIRTUAL_ENV: join(root, 'windows') };
    expect(findLibrary({ name: 'cuda' }, { platform: 'win32', arch: 'x64', env })).toBe(file);
  });

  it.each([
    ['openvino', 'onnxruntime-ep-openvino==1.8.1', 'ROPEWALK_OPENVINO_LIBRARY'],
    ['cuda', 'onnxruntime-gpu\\[cuda,cudnn\\]==1.30.0', 'ROPEWALK_CUDA_LIBRARY'],
  ] as const)(
    '%s that is nowhere is refused with the package and the variable',
    (name, packageName, variable) => {
      expect(() => findLibrary({ name }, { ...linux, env: { VIRTUAL_ENV: join(root, 'none') } })).toThrow(
        new RegExp(`no library of the ${name} provider .*pip install "?${packageName}"?.*${variable}`),
      );
    },
  );

  it('for which there is no package here is refused without one', () => {
    expect(() => findLibrary(openvino, { platform: 'darwin', arch: 'arm64', env: {} })).toThrow(
      /no package with the openvino provider for darwin on arm64; .*ROPEWALK_OPENVINO_LIBRARY/,
    );
  });
});

it("CUDA's libraries beside a provider are loaded before those that need them", () => {
  const file = put('gpu', 'onnxruntime', 'capi', 'libonnxruntime_providers_cuda.so');
  const libraries = ['libcublas.so.13', 'libcublasLt.so.13', 'libcudart.so.13', 'libcurand.so.10'];
  for (const name of [...libraries, 'libcublas_static.a', 'libcublas.so'])
    put('gpu', 'nvidia', 'cu13', 'lib', name);
  expect(cudaLibraries(file).map((path) => path.split(/[/\\]/).at(-1))).toEqual([
    'libcudart.so.13',
    'libcublasLt.so.13',
    'libcublas.so.13',
    'libcurand.so.10',
  ]);
});
