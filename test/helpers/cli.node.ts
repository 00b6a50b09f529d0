import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { buildWorkerFor } from '../../scripts/build-worker.js';

/** The project's root. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** What the command's program imports: the bundle of src/cli/main.ts. */
const BUNDLE = '../dist/bundle/cli.js';

const built = new Map<string, Promise<string>>();

/** A program that differs from this repository's: what it is called, and what changes its sources. */
export interface Changed {
  readonly as: string;
  readonly plugin: Plugin;
}

/**
 * Compiles a program of this repository for Node, so that tests run the source as it is rather than what `dist` was
 * built from. The file lies two folders below the root, as `dist/bundle/cli.js` does, and git ignores it.
 *
 * @param source path from the root.
 * @returns the program's path.
 */
export function buildProgram(source: string, changed?: Changed): Promise<string> {
  const key = `${source} ${changed?.as ?? ''}`;
  let program = built.get(key);
  if (!program) {
    program = compile(source, changed);
    built.set(key, program);
  }
  return program;
}

async function compile(source: string, changed?: Changed): Promise<string> {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(ROOT, source)],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    write: false,
    metafile: true,
    logLevel: 'error',
    plugins: [
      {
        name: 'source instead of dist',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^\.\.\/dist\// }, ({ path }) => ({
            path: join(
              ROOT,
              path === BUNDLE
                ? 'src/cli/main.ts'
                : path.replace(/^\.\.\/dist\//, 'src/').replace(/\.js$/, '.ts'),
            ),
          })),
      },
      ...(changed ? [changed.plugin] : []),
    ],
  });
  const own = changed?.as ?? basename(source).replace(/\.\w+$/, '');
  const name = `${basename(dirname(source))}-${own}`;
  const program = join(ROOT, 'test/helpers', `${name}.generated.mjs`);
  // Written beside and renamed: another test file's process may be starting it.
  const draft = join(ROOT, 'test/helpers', `${name}.${process.pid}.generated.mjs`);
  writeFileSync(draft, outputFiles[0]!.text);
  renameSync(draft, program);
  await buildWorkerFor(metafile, dirname(program));
  return program;
}

export interface Finished {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  /** What has been printed so far. */
  readonly output: { readonly stdout: string; readonly stderr: string };
  readonly process: ChildProcess;
  readonly finished: Promise<Finished>;
  /** Resolves when the output so far on stdout or stderr matches; rejects when the process ends before. */
  seen(pattern: RegExp): Promise<void>;
}

/** Starts a Node program and collects what it prints. */
export function start(program: string, args: readonly string[], options: SpawnOptions = {}): Running {
  return startCommand(process.execPath, [program, ...args], options);
}

/** Starts any program and collects what it prints. */
export function startCommand(command: string, args: readonly string[], options: SpawnOptions = {}): Running {
  const child = spawn(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
    // Colors and warnings are a terminal's; tests read plain text. The last is set by a model in the test's process.
    env: {
      ...process.env,
      NO_COLOR: '1',
      FORCE_COLOR: undefined,
      NODE_OPTIONS: undefined,
      ORT_DISABLE_TELEMETRY: undefined,
      ...options.env,
    },
  });
  // A program may end before it has read its input, or before it was written: that is for the test to judge by its output.
  child.stdin?.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') child.emit('error', error);
  });
  const output = { stdout: '', stderr: '' };
  const watchers = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
      for (const watcher of watchers) watcher();
    });
  }
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, ...output }));
  });
  const seen = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const watcher = () => {
        if (!pattern.test(output.stdout) && !pattern.test(output.stderr)) return;
        watchers.delete(watcher);
        resolve();
      };
      watchers.add(watcher);
      watcher();
      void finished.then(() =>
        reject(new Error(`the process ended before it printed ${pattern}: ${output.stderr}`)),
      );
    });
  return { process: child, output, finished, seen };
}

/**
 * Starts a program that gets a signal the moment that it writes what matches: to standard output or error, at the end of
 * a file, or by giving a file its name (signal-at.mjs).
 */
export function startSignalled(
  program: string,
  args: readonly string[],
  at: RegExp,
  { signal = 'SIGINT', env }: { readonly signal?: NodeJS.Signals; readonly env?: NodeJS.ProcessEnv } = {},
): Running {
  const preload = new URL('signal-at.mjs', import.meta.url).href;
  return start(program, args, {
    env: { ...env, NODE_OPTIONS: `--import ${preload}`, SIGNAL_AT: at.source, SIGNAL: signal },
  });
}

/** Runs the command line as a process of its own: `ropewalk <args…>`. */
export async function ropewalk(args: readonly string[], options: SpawnOptions = {}): Promise<Finished> {
  return start(await buildProgram('bin/ropewalk.js'), args, options).finished;
}
