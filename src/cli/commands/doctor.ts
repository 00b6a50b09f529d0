import { type Command, Option } from 'commander';
import { listSupportedBackends, env as runtimeEnvironment } from 'onnxruntime-node';
import { readableSize } from '../../hub/choose.ts';
import { hubSettings } from '../../hub/settings.node.ts';
import { type Device, libraryDevice } from '../../runtime/devices.ts';
import { nodeEngine } from '../../runtime/engine.node.ts';
import { webgpuLimits } from '../../runtime/webgpu-limits.node.ts';
import { thisMachine } from '../../training/runs/machine.node.ts';
import { probe, probed, probedLibrary } from '../doctor/devices.ts';
import { environmentReport, withoutCredentials } from '../doctor/environment.ts';
import {
  folderSize,
  packageVersions,
  platformReport,
  processorReport,
  readPackage,
} from '../doctor/machine.ts';
import { device } from '../options/options.ts';
import { PACKAGE_FILE } from '../package-file.ts';
import { printable } from '../terminal/printable.ts';

interface DoctorFlags {
  json?: boolean;
  device?: Device;
  probe?: Device;
}

type Value = string | number | boolean | undefined | readonly string[] | { readonly [name: string]: Value };

export function register(program: Command): void {
  program
    .command('doctor')
    .description('Print what a bug report needs: versions, machine, engine, caches, environment.')
    .option('--json', 'print it as JSON on stdout')
    .option('--device <path>', 'also try this provider library, or this one of its devices', device)
    .addOption(new Option('--probe <device>').argParser(device).hideHelp())
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

async function doctor({ json, probe: probedDevice, device: chosen }: DoctorFlags): Promise<void> {
  if (probedDevice) {
    process.stdout.write(await probe(probedDevice));
    return;
  }
  const report = await diagnose(chosen);
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${lines(report).join('\n')}\n`);
}

async function diagnose(chosen: Device | undefined) {
  const engine = nodeEngine();
  const { totalMemory, availableMemory } = thisMachine();
  const providers = listSupportedBackends().map(({ name, bundled }) =>
    bundled ? name : `${name} (not bundled)`,
  );
  const libraries: Device[] = ['cuda', 'openvino'];
  if (chosen && libraryDevice(chosen) && !libraries.includes(chosen)) libraries.push(chosen);
  const [limits, cpu, webgpu, ...reports] = await Promise.all([
    webgpuLimits(),
    probed('cpu'),
    providers.includes('webgpu') ? probed('webgpu') : 'not in this build of onnxruntime-node',
    ...libraries.map(probedLibrary),
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
      ...(Object.keys(limits).length > 0 && { webgpuDevice: { ...limits } }),
      libraries: Object.fromEntries(libraries.map((name, i) => [name, { ...reports[i]! }])),
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
