import { readFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, release } from 'node:os';
import { join } from 'node:path';

/** Instruction sets for which the engine's kernels or ours have variants. */
const FEATURES = new Set(
  (
    'sse4_1 sse4_2 avx avx2 fma f16c avx512f avx512bw avx512vl avx512_vnni avx_vnni avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16 ' +
    'asimd asimddp asimdhp i8mm bf16 sve sve2'
  ).split(' '),
);

export function platformReport() {
  const header = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  const glibc = header?.header?.glibcVersionRuntime;
  return {
    os: process.platform,
    arch: process.arch,
    release: release(),
    ...(process.platform === 'linux' && {
      libc: glibc === undefined ? 'not glibc (musl?)' : `glibc ${glibc}`,
    }),
  };
}

export function processorReport() {
  const [first] = cpus();
  return {
    model: first?.model.trim() || 'unknown',
    cores: cpus().length,
    available: availableParallelism(),
    features: processorFeatures(),
  };
}

/** Undefined if the system does not say (anything but Linux). */
function processorFeatures(): string[] | undefined {
  try {
    const [, flags] = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? [];
    return flags?.split(/\s+/).filter((flag) => FEATURES.has(flag));
  } catch {
    return undefined;
  }
}

/** The installed versions of the packages that Ropewalk depends on; "missing" if one is not installed. */
export function packageVersions(file: URL): Record<string, string> {
  const require = createRequire(file);
  const own = readPackage(file);
  const names = [own.dependencies, own.optionalDependencies, own.peerDependencies].flatMap((group) =>
    Object.keys(group ?? {}),
  );
  const versionOf = (name: string) => {
    for (const folder of require.resolve.paths(name) ?? []) {
      try {
        return String(readPackage(join(folder, name, 'package.json')).version);
      } catch {
        // Not in this folder.
      }
    }
    return 'missing';
  };
  return Object.fromEntries(names.sort().map((name) => [name, versionOf(name)]));
}

interface Package {
  readonly version?: string;
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}

export function readPackage(file: URL | string): Package {
  return JSON.parse(readFileSync(file, 'utf8')) as Package;
}

/**
 * Total bytes of the regular files below a folder, each counted once; links are not followed. Undefined if there is no
 * such folder.
 */
export async function folderSize(folder: string): Promise<number | undefined> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => undefined);
  if (!entries) return undefined;
  let bytes = 0;
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const status = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
    bytes += status?.size ?? 0;
  }
  return bytes;
}
