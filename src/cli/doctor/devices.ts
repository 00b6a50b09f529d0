import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { RopewalkError } from '../../errors.ts';
import { evaluate } from '../../graph/evaluate.ts';
import { input, matmul, rmsNorm, rotary } from '../../graph/operators/index.ts';
import { type Device, libraryDevice } from '../../runtime/devices.ts';
import { nodeEngine, providerLibraries } from '../../runtime/engine.node.ts';
import type { AssignedNodes } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';
import { findLibrary } from '../../runtime/providers/find.node.ts';
import type { OfferedDevice } from '../../runtime/providers/provider-libraries.node.ts';

/** After this time, a driver counts as hanging. */
const PROBE_MS = 60_000;

/** What a provider library offers, as the report shows it. */
export interface LibraryReport {
  readonly library?: string;
  /** `works`, or what is wrong. */
  readonly state: string;
  /** The nodes of a small graph that its provider runs itself. */
  readonly nodes?: string;
  /** By the number that selects them. */
  readonly devices?: Readonly<Record<string, string>>;
}

/**
 * Whether the engine runs on a device. Checked in a separate process, since a crashing graphics driver kills its
 * process.
 *
 * @returns what that process printed, or what is wrong.
 */
async function inOwnProcess(device: Device): Promise<{ stdout: string } | { wrong: string }> {
  try {
    const program = process.argv[1]!;
    const { stdout } = await promisify(execFile)(process.execPath, [program, 'doctor', '--probe', device], {
      timeout: PROBE_MS,
    });
    return { stdout };
  } catch (error) {
    const { stderr = '', signal, killed } = error as { stderr?: string; signal?: string; killed?: boolean };
    const said = stderr.trim().split('\n').at(-1) ?? '';
    const why = killed ? `no answer in ${PROBE_MS / 1000} s` : signal ? `ended by ${signal}` : said;
    return { wrong: why.replace(/^ropewalk: /, '') || String(error) };
  }
}

/** Whether `cpu` or `webgpu` works. */
export async function probed(device: 'cpu' | 'webgpu'): Promise<string> {
  const result = await inOwnProcess(device);
  if ('wrong' in result) return `does not work: ${result.wrong}`;
  return device === 'cpu' ? 'works' : 'an adapter was found and works';
}

/** What a provider library offers, and whether it works; a library that is not there is not loaded. */
export async function probedLibrary(device: Device): Promise<LibraryReport> {
  const chosen = libraryDevice(device)!;
  let library: string;
  try {
    library = findLibrary(chosen.library);
  } catch (error) {
    if (error instanceof RopewalkError) return { state: error.message };
    throw error;
  }
  const result = await inOwnProcess(device);
  if ('wrong' in result) return { library, state: `does not work: ${result.wrong}` };
  return {
    library,
    state: 'works',
    ...(JSON.parse(result.stdout) as Pick<LibraryReport, 'nodes' | 'devices'>),
  };
}

/**
 * Runs a small graph on a device and compares its result with float64.
 *
 * @returns for a device of a library, what {@link probedLibrary} reads from the standard output.
 */
export async function probe(device: Device): Promise<string> {
  const engine = nodeEngine({ provider: device, threads: 1 });
  const [tokens, width] = [4, 8];
  const shapes = { x: [tokens, width], scale: [width], cos: [tokens, 2], sin: [tokens, 2], w: [width, 3] };
  const inputs = Object.entries(shapes).map(([name, shape]) => {
    const data = Float32Array.from(
      { length: shape.reduce((a, b) => a * b) },
      (_, i) => ((i * 7 + 3) % 11) / 5 - 1,
    );
    return { name, shape, data, tensor: input(name, 'float32', shape) };
  });
  const [x, scale, cos, sin, w] = inputs.map(({ tensor }) => tensor);
  const y = matmul(rotary(rmsNorm(x!, scale!, 1e-6), cos!, sin!, 2), w!);
  const executable = await Executable.compile(engine, new Map([['y', y]]), { recordsNodes: true });
  const { y: result } = await executable.run(
    Object.fromEntries(inputs.map(({ name, shape, data }) => [name, { shape, data }])),
  );
  const isLibrary = libraryDevice(device) !== undefined;
  const counts = isLibrary ? executable.assignedNodes() : {};
  await executable.release();
  const [expected] = evaluate(
    [y],
    new Map(inputs.map(({ tensor, shape, data }) => [tensor, { shape, data: Float64Array.from(data) }])),
  );
  const wrong = expected!.data.some(
    (value, i) => !(Math.abs(value - (result!.data as Float32Array)[i]!) < 1e-3),
  );
  if (wrong) throw new RopewalkError(`${device} gives wrong results.`);
  if (!isLibrary) return '';
  const devices = providerLibraries().devices(findLibrary(libraryDevice(device)!.library));
  return JSON.stringify({ nodes: shareOf(counts), devices: { ...devices.map(describe) } });
}

/** `12 of 12`, and the operators that the engine's CPU kernels run. */
function shareOf(counts: AssignedNodes): string {
  const sum = (nodes: Readonly<Record<string, number>>) => Object.values(nodes).reduce((a, b) => a + b, 0);
  const { CPUExecutionProvider: others = {}, ...own } = counts;
  const [taken, left] = [Object.values(own).reduce((total, nodes) => total + sum(nodes), 0), sum(others)];
  const rest = left > 0 ? `; the CPU runs ${Object.keys(others).join(', ')}` : '';
  return `${taken} of ${taken + left}${rest}`;
}

/** A line for a device: provider, type, name, memory and precisions as far as the provider tells. */
function describe({ provider, vendor, type, hardwareVendor, metadata, hardware }: OfferedDevice): string {
  const memory = Object.entries({ ...hardware, ...metadata }).filter(([key]) =>
    /mem.*(?:size|total)|vram/i.test(key),
  );
  return [
    `${provider} by ${vendor}${metadata.version === undefined ? '' : ` ${metadata.version}`}`,
    `${type}, ${metadata.FULL_DEVICE_NAME ?? hardware.Description ?? hardwareVendor}`,
    ...memory.map(([key, value]) => `${key} ${value}`),
    ...(metadata.OPTIMIZATION_CAPABILITIES === undefined
      ? []
      : [`capabilities ${metadata.OPTIMIZATION_CAPABILITIES}`]),
  ].join('; ');
}
