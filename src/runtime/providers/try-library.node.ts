import { spawnSync } from 'node:child_process';
import { RopewalkError } from '../../errors.ts';
import { type Library, REGISTER_LIBRARY } from '../library.node.ts';

/** A graphics driver may take seconds to start. */
const LIMIT_MS = 60_000;

/** Exit code of {@link SCRIPT} if the engine refuses the library with a message. */
const REFUSED = 3;

/** Registers a library: `node -e SCRIPT <koffi> <engine> <library> <position of RegisterExecutionProviderLibrary> <libraries to load first>…`. */
const SCRIPT = `
const [koffiPath, enginePath, path, position, ...first] = process.argv.slice(1);
const koffi = require(koffiPath);
for (const each of first) koffi.load(each);
const base = koffi.load(enginePath).func('void *OrtGetApiBase()')();
const [getApi] = koffi.decode(base, koffi.array('void *', 2));
const api = koffi.call(getApi, koffi.proto('void *GetApi(uint32_t version)'), 23);
const table = koffi.decode(api, koffi.array('void *', Number(position) + 1));
const call = (at, signature, ...args) => koffi.call(table[at], koffi.proto(signature), ...args);
const env = [null];
call(3, 'void *CreateEnv(int level, const char *name, _Out_ void **env)', 4, 'try', env);
const wide = process.platform === 'win32' ? 'utf16le' : 'utf8';
const file = koffi.address(Buffer.from(path + '\\0', wide));
const status = call(position, 'void *Register(void *env, const char *name, void *path)', env[0], 'try', file);
if (status) {
  console.error(call(2, 'const char *GetErrorMessage(void *status)', status));
  process.exit(${REFUSED});
}
// Without the library's own end, which may be what crashes.
process.kill(process.pid, 'SIGKILL');
`;

/**
 * Registers a library in a process of its own first: one that was made for another version of the engine may crash, and
 * would take this process with it. Without effect where Node is not what runs this program.
 *
 * @param first libraries that it needs, to be loaded before it.
 * @throws RopewalkError if the library crashes or is refused.
 */
export function tryLibrary(
  path: string,
  { koffi, engine }: Library['paths'],
  first: readonly string[],
): void {
  const { versions } = process;
  if (versions.bun || versions.deno || versions.electron) return;
  const child = spawnSync(
    process.execPath,
    ['-e', SCRIPT, koffi, engine, path, String(REGISTER_LIBRARY), ...first],
    {
      encoding: 'utf8',
      timeout: LIMIT_MS,
      killSignal: 'SIGTERM',
      env: { ...process.env, NODE_OPTIONS: '' },
      windowsHide: true,
    },
  );
  const { error, signal, status, stderr } = child;
  if (signal === 'SIGKILL' || status === 0) return;
  const timedOut = (error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT';
  if (error && !timedOut) return;
  throw unusable(
    path,
    timedOut
      ? `it did not answer within ${LIMIT_MS / 1000} s`
      : status === REFUSED
        ? stderr.trim()
        : `it crashed (${signal ?? `exit code ${status}`}) ${stderr.trim()}`,
  );
}

/** What the engine or the system says of a library that it refuses, as an error with a remedy. */
export function unusable(path: string, why: string): RopewalkError {
  const [, wanted, most] =
    /API version \[(\d+)\] is not available, only API versions \[1, (\d+)\]/.exec(why) ?? [];
  if (wanted !== undefined) {
    return new RopewalkError(
      `${path} was made for a newer ONNX Runtime (interface version ${wanted}; this one has ${most}); install an older version of the library.`,
    );
  }
  if (/(?:Create|Release)EpFactor/.test(why)) {
    return new RopewalkError(
      `${path} is no provider library: it lacks CreateEpFactories or ReleaseEpFactory. Provider libraries for ONNX Runtime 1.22 and newer have them.`,
    );
  }
  const [, missing] = /(\S+): cannot open shared object file/.exec(why) ?? [];
  if (missing !== undefined) {
    return new RopewalkError(
      `${path} needs ${missing}, which is not found; install it, and name its folder in LD_LIBRARY_PATH before the program starts.`,
    );
  }
  const line = why.trim().split('\n').filter(Boolean).at(-1) ?? 'no message';
  return new RopewalkError(
    `${path} cannot be used as a provider library: ${line}. It must be made for ONNX Runtime 1.30 or older.`,
  );
}
