import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { option, RopewalkError, said } from '../../errors.ts';
import type { LibraryDevice, LibraryName } from '../devices.ts';

/** What is known of a provider library that has a name. */
interface KnownLibrary {
  /** The variable that names its file. */
  readonly variable: string;
  /** The Python package that contains it. */
  readonly packageName: string;
  /** Its folder in site-packages, and its file name without `lib` and the ending. */
  readonly folder: readonly string[];
  readonly file: string;
  /** The platforms for which the package exists. */
  readonly platforms: readonly string[];
}

const KNOWN_LIBRARIES: Readonly<Record<LibraryName, KnownLibrary>> = {
  cuda: {
    variable: 'ROPEWALK_CUDA_LIBRARY',
    packageName: 'onnxruntime-gpu[cuda,cudnn]==1.30.0',
    folder: ['onnxruntime', 'capi'],
    file: 'onnxruntime_providers_cuda',
    platforms: ['linux-x64', 'win32-x64'],
  },
  openvino: {
    variable: 'ROPEWALK_OPENVINO_LIBRARY',
    packageName: 'onnxruntime-ep-openvino==1.8.1',
    folder: ['onnxruntime_ep_openvino'],
    file: 'onnxruntime_providers_openvino_plugin',
    platforms: ['linux-x64', 'win32-x64'],
  },
};

/** Where libraries are looked for. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: string;
  readonly arch: string;
}

const HERE: Surroundings = process;

/** The variables in which an active Python environment gives its folder: venv, virtualenv and uv; conda and mamba. */
const ENVIRONMENTS = ['VIRTUAL_ENV', 'CONDA_PREFIX'] as const;

/** The folders with the packages of the Python environments that are active. */
export function sitePackages({ env, platform }: Pick<Surroundings, 'env' | 'platform'> = HERE): string[] {
  return ENVIRONMENTS.flatMap((name) => {
    const root = env[name];
    if (!root) return [];
    if (platform === 'win32') return [join(root, 'Lib', 'site-packages')];
    const lib = join(root, 'lib');
    return list(lib)
      .filter((entry) => /^python3\.\d+t?$/.test(entry))
      .sort()
      .map((entry) => join(lib, entry, 'site-packages'));
  });
}

/**
 * The file of a provider library: the path given, else what its variable names, else the one in an active Python
 * environment. Nothing is downloaded.
 *
 * @throws RopewalkError if there is none; it says how to get one.
 */
export function findLibrary(library: LibraryDevice['library'], surroundings: Surroundings = HERE): string {
  if ('path' in library) return resolve(library.path);
  const { env, platform, arch } = surroundings;
  const { name } = library;
  const { variable, packageName, folder, file, platforms } = KNOWN_LIBRARIES[name];
  const given = env[variable];
  if (given) return resolve(given);
  const fileName = platform === 'win32' ? `${file}.dll` : `lib${file}.so`;
  for (const packages of sitePackages(surroundings)) {
    const path = join(packages, ...folder, fileName);
    if (isFile(path)) return path;
  }
  if (!platforms.includes(`${platform}-${arch}`)) {
    throw new RopewalkError(
      said`there is no package with the ${name} provider for ${platform} on ${arch}; give the path of a library that was built for it (${variable}), or run on the CPU (${option('device', 'cpu')}).`,
    );
  }
  throw new RopewalkError(
    `no library of the ${name} provider was found; install it into an active Python environment (pip install "${packageName}"), or name its file in the variable ${variable}.`,
  );
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
