import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Command, Option } from 'commander';
import { listSupportedBackends, env as runtimeEnvironment } from 'onnxruntime-node';
import { add, input } from '../../graph/operators/index.ts';
import { readableSize } from '../../hub/choose.ts';
import { hubSettings } from '../../hub/settings.node.ts';
import { nodeEngine } from '../../runtime/engine.node.ts';
import { Executable } from '../../runtime/executable.ts';
import { thisMachine } from '../../training/runs/machine.node.ts';
import { environmentReport, withoutCredentials } from '../doctor/environment.ts';
import {
  folderSize,
  packageVersions,
  platformReport,
  processorReport,
  readPackage,
} from '../doctor/machine.ts';
import { PACKAGE_FILE } from '../package-file.ts';
import { printable } from '../terminal/printable.ts';

interface DoctorFlags {
  json?: boolean;
  probe?: 'cpu' | 'webgpu';
}

type Value = string | number | boolean | undefined | readonly string[] | { readonly [name: string]: Value };

/** After this time, a driver counts as hanging. */
const PROBE_MS = 30_000;

export function register(program: Command): void {
  program
    .command('doctor')
    .description('Print what a bug report needs: versions, machine, engine, caches, environment.')
    .option('--json', 'print it as JSON on stdout')
    .addOption(new Option('--probe <device>').choices(['cpu', 'webgpu']).hideHelp())
    .addHelpText(
      'after',
      `
Nothing is sent anywhere. Tokens are only reported as set, and names and passwords are removed from addresses.

Examples:
  ropewalk doctor
  ropewalk doctor --json > report.json`,
    )
    .action(doctor);
}

async function doctor({ json, probe }: DoctorFlags): Promise<void> {
  if (probe) return runOn(probe);
  const report = await diagnose();
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${lines(report).join('\n')}\n`);
}

async function diagnose() {
  const engine = nodeEngine();
  const { totalMemory, availableMemory } = thisMachine();
  const providers = listSupportedBackends().map(({ name, bundled }) =>
    bundled ? name : `${name} (not bundled)`,
  );
  const [cpu, webgpu] = await Promise.all([
    probed('cpu'),
    providers.includes('webgpu') ? probed('webgpu') : 'not in this build of onnxruntime-node',
  ]);
  return {
    ropewalk: readPackage(PACKAGE_FILE).version,
    node: process.versions.node,
    v8: process.versions.v8,
    platform: platformReport(),
    processor: processorReport(),
    memory: { total: totalMemory, available: availableMemory },
    engine: {
      name: engine.name,
      cInterface: engine.name.includes('C interface'),
      onnxruntime: runtimeEnvironment.versions.node,
      providers,
      cpu,
      webgpu,
    },
    hub: await hubReport(),
    packages: packageVersions(PACKAGE_FILE),
    environment: environmentReport(process.env),
  };
}

async function hubReport() {
  try {
    const { endpoint, cache, token, offline, route } = hubSettings();
    const proxy = route?.proxyOf(new URL(endpoint));
    const cacheBytes = await folderSize(cache);
    return {
      endpoint: withoutCredentials(endpoint),
      cache,
      cacheBytes,
      token: token !== undefined,
      offline,
      proxy: proxy ?? 'none',
    };
  } catch (error) {
    return { wrong: withoutCredentials((error as Error).message) };
  }
}

/**
 * Whether the engine runs on a device. Checked in a separate process, since a crashing graphics driver kills its
 * process.
 */
async function probed(device: 'cpu' | 'webgpu'): Promise<string> {
  try {
    const program = process.argv[1]!;
    await promisify(execFile)(process.execPath, [program, 'doctor', '--probe', device], {
      timeout: PROBE_MS,
    });
    return device === 'cpu' ? 'works' : 'an adapter was found and works';
  } catch (error) {
    const { stderr = '', signal, killed } = error as { stderr?: string; signal?: string; killed?: boolean };
    const said = stderr.trim().split('\n').at(-1) ?? '';
    const why = killed ? `no answer in ${PROBE_MS / 1000} s` : signal ? `ended by ${signal}` : said;
    return `does not work: ${why.replace(/^ropewalk: /, '') || String(error)}`;
  }
}

/** Runs a graph with one operator. */
async function runOn(provider: 'cpu' | 'webgpu'): Promise<void> {
  const x = input('x', 'float32', [2]);
  const executable = await Executable.compile(
    nodeEngine({ provider, threads: 1 }),
    new Map([['y', add(x, x)]]),
  );
  const { y } = await executable.run({ x: { data: Float32Array.of(1, 2), shape: [2] } });
  await executable.release();
  if (y!.data[0] !== 2 || y!.data[1] !== 4) throw new Error(`${provider} gives wrong results`);
}

/** `name  value`, with nested parts indented by two spaces. */
function lines(report: { readonly [name: string]: Value }, indent = ''): string[] {
  return Object.entries(report).flatMap(([name, value]) => {
    if (value === undefined) return [];
    if (typeof value === 'object' && !Array.isArray(value)) {
      return [`${indent}${name}`, ...lines(value as { readonly [name: string]: Value }, `${indent}  `)];
    }
    const isBytes = typeof value === 'number' && /bytes$|^total$|^available$/i.test(name) && value > 1e4;
    const text = Array.isArray(value) ? value.join(' ') : isBytes ? readableSize(value) : String(value);
    return [`${indent}${name.padEnd(Math.max(0, 26 - indent.length))}  ${printable(text)}`];
  });
}
