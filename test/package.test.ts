import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadHere } from '../src/generation/load-here.node.ts';
import { saveUntrained } from './helpers/models.node.ts';

/** The package as its users get it: built, with what it declares as dependencies and nothing else around it. */
const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
  bin: { ropewalk: string };
};
const tsc = join(root, 'node_modules/typescript/bin/tsc');
const user = mkdtempSync(join(tmpdir(), 'ropewalk-package-'));
const installed = join(user, 'node_modules/ropewalk');

const node = (...args: string[]) => spawnSync(process.execPath, args, { cwd: user, encoding: 'utf8' });

/** What a user writes; every `Exact` fails to compile where a type has silently become `any`. */
const PROGRAM = `
import { load, type LanguageModel, openModel, runtime } from 'ropewalk';
import * as core from 'ropewalk/core';

type IsAny<T> = 0 extends 1 & T ? true : false;
type Exact<T extends false> = T;
export type Checks = [
  Exact<IsAny<core.graph.Tensor>>,
  Exact<IsAny<core.runtime.Engine['runtime']['Tensor']>>,
  Exact<IsAny<ReturnType<core.tokenizer.Tokenizer['encode']>>>,
  Exact<IsAny<LanguageModel['config']['vocab_size']>>,
  Exact<IsAny<Awaited<ReturnType<typeof openModel>>['model']>>,
  Exact<IsAny<Awaited<ReturnType<core.generation.Decoder['forward']>>>>,
];

const [directory] = process.argv.slice(2);
if (directory !== undefined) {
  const model: LanguageModel = await load(directory, { threads: 1 });
  for await (const piece of model.generate('Once', { maxTokens: 20, greedy: true })) process.stdout.write(piece);
  process.exit();
}

const { add, mul, parameter, reduceSum, reshape } = core.graph.ops;
const x: core.graph.Tensor = parameter('x', [3]);
const [gradient] = core.graph.differentiate(reshape(reduceSum(add(mul(x, x), x), [0]), []), [x]);
const outputs = new Map([['gradient', gradient!]]);
const executable = await core.runtime.Executable.compile(runtime.nodeEngine({ threads: 1 }), outputs);
const result = await executable.run({ x: { data: Float32Array.of(1, 2, 3), shape: [3] } });
process.stdout.write(String(result.gradient!.data));
`;

describe('the package', () => {
  beforeAll(() => {
    mkdirSync(installed, { recursive: true });
    for (const name of ['package.json', 'bin'])
      cpSync(join(root, name), join(installed, name), { recursive: true });
    for (const name of [...Object.keys(manifest.dependencies), '@types/node']) {
      const link = join(user, 'node_modules', name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(join(root, 'node_modules', name), link, 'dir');
    }
    const built = node(tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', join(installed, 'dist'));
    expect(built.stdout).toBe('');
    const bundled = node(join(root, 'scripts/bundle.js'), join(installed, 'dist'));
    expect(bundled.stderr).toBe('');
  });
  afterAll(() => rmSync(user, { recursive: true, force: true }));

  it('runs with its declared dependencies, and its types resolve under bundler and nodenext', () => {
    writeFileSync(join(user, 'package.json'), '{"type": "module"}');
    writeFileSync(join(user, 'program.ts'), PROGRAM);
    // The declarations are compiled too, without those of a browser.
    const shared = ['--strict', '--target', 'es2022', '--lib', 'es2022', '--types', 'node'];
    const common = [...shared, '--noUncheckedIndexedAccess', '--ignoreConfig', 'program.ts'];
    const bundler = node(tsc, ...common, '--noEmit', '--module', 'esnext', '--moduleResolution', 'bundler');
    expect(bundler.stdout).toBe('');
    const nodenext = node(tsc, ...common, '--module', 'nodenext');
    expect(nodenext.stdout).toBe('');
    // The derivative of x² + x is 2x + 1.
    const ran = node('program.js');
    expect(ran.stderr).toBe('');
    expect(ran.stdout).toBe('3,5,7');
  });

  it('has type declarations that TypeScript 5.6 accepts: typed arrays without a buffer type', () => {
    const dist = join(installed, 'dist');
    const generic = readdirSync(dist, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.d.ts'))
      .filter((path) => /Array<(Shared)?ArrayBuffer/.test(readFileSync(join(dist, path), 'utf8')));
    expect(generic).toEqual([]);
  });

  it.each([
    ['ropewalk', 'browser'],
    ['ropewalk/core', 'browser'],
    ['ropewalk', 'node'],
  ] as const)('gives a bundle of %s for a %s only what runs there', async (name, platform) => {
    const { outputFiles } = await build({
      stdin: { contents: `import * as all from '${name}'; globalThis.all = all;`, resolveDir: user },
      ...{ bundle: true, platform, format: 'esm', logLevel: 'error', write: false },
      external: platform === 'node' ? [...Object.keys(manifest.dependencies), 'koffi'] : [],
    });
    const { text } = outputFiles[0]!;
    expect(text).toMatch(/\bLocalModel: \(\) =>/);
    for (const sign of [/\bfrom\s*"node:/, /\bexportGguf: \(\) =>/]) {
      expect(sign.test(text)).toBe(platform === 'node');
    }
  });

  it('loads a model into a worker thread, wherever it is started', async () => {
    const path = join(user, 'model');
    await saveUntrained(path);
    const model = await loadHere(path, { threads: 1 });
    let text = '';
    for await (const piece of model.generate('Once', { maxTokens: 20, greedy: true })) text += piece;
    await model.release();
    const ran = node('program.js', path);
    expect(ran.stderr).toBe('');
    expect(ran.stdout).toBe(text);
    const line = `import { load } from 'ropewalk';
      const model = await load('model', { threads: 1 });
      for await (const piece of model.generate('Once', { maxTokens: 20, greedy: true })) process.stdout.write(piece);`;
    const evaluated = node('--input-type=module', '--eval', line);
    expect(evaluated.stderr).toBe('');
    expect(evaluated.stdout).toBe(text);
  });

  it("loads a user's own family, in TypeScript and on the command line", () => {
    cpSync(join(root, 'test/helpers/toy-family.ts'), join(user, 'toy-family.ts'));
    const register = [
      "import { families } from 'ropewalk';",
      "import { toy } from './toy-family.js';",
      'families.registerFamily(toy);',
    ];
    writeFileSync(join(user, 'my-family.ts'), register.join('\n'));
    const options = ['--strict', '--target', 'es2022', '--module', 'nodenext', '--types', 'node'];
    expect(node(tsc, ...options, '--ignoreConfig', 'my-family.ts').stdout).toBe('');
    writeFileSync(
      join(user, 'text.txt'),
      'A rope is laid of three strands, a cable of three ropes. '.repeat(80),
    );
    const ropewalk = (...args: string[]) => {
      const program = join(installed, manifest.bin.ropewalk);
      const { status, stdout, stderr } = node('--import', './my-family.js', program, ...args);
      expect(status, stderr).toBe(0);
      return stdout;
    };
    expect(ropewalk('compare', 'toy', 'llama')).toMatch(/Normalization.*LayerNorm.*RMSNorm/);
    const small = ['--vocab-size', '300', '--batch', '2', '--seq', '16', '--threads', '1'];
    ropewalk(
      'train',
      '--family',
      'toy',
      '--preset',
      'toy-small',
      '--text',
      'text.txt',
      ...small,
      '--steps',
      '3',
      '--out',
      'run',
    );
    ropewalk('export', 'run', '--to', 'gguf', '--type', 'f32', '--out', 'toy.gguf');
    const ids = ['--ids', '5,6,7', '--max-tokens', '8', '--greedy'];
    expect(ropewalk('generate', 'toy.gguf', ...ids)).toBe(ropewalk('generate', 'run', ...ids));
    // The thread of `load` is given Node's options too.
    const line = `import { load } from 'ropewalk';
      const model = await load('run', { threads: 1 });
      process.stdout.write([model.family.name, (await model.logits([5, 6])).length === 2 * model.config.vocab_size].join(" "));
      await model.release();`;

    writeFileSync(join(user, 'load.js'), line);
    const ran = node('--import', './my-family.js', 'load.js');
    expect(ran.stderr).toBe('');
    expect(ran.stdout).toBe('toy true');
  });

  it('says in the error of a bundle that includes it to keep it external', async () => {
    await build({
      entryPoints: [join(user, 'program.js')],
      outfile: join(user, 'bundle/program.js'),
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
      external: [...Object.keys(manifest.dependencies), 'koffi'],
    });
    const ran = node('bundle/program.js', join(user, 'model'));
    expect(ran.status).toBe(1);
    expect(ran.stderr).toContain('Keep the package ropewalk external to the bundle');
  });

  it('has a command that describes itself', () => {
    const help = node(join(installed, manifest.bin.ropewalk), '--help');
    expect(help.status).toBe(0);
    expect(help.stdout).toContain('Usage: ropewalk');
  });
});

describe('package-lock.json', () => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<
      string,
      { resolved?: string; link?: boolean } & Partial<
        Record<'dependencies' | 'optionalDependencies' | 'devDependencies', Record<string, string>>
      >
    >;
  };

  it('contains no registry address, so that any registry works', () => {
    const named = Object.entries(lock.packages).filter(([, { resolved }]) => resolved !== undefined);
    expect(named.map(([path]) => path)).toEqual([]);
  });

  it('has every dependency for every platform, which npm ci requires', () => {
    const names = new Set(Object.keys(lock.packages).map((path) => path.replace(/^.*node_modules\//, '')));
    const missing = Object.entries(lock.packages).flatMap(([path, entry]) => {
      const wanted = { ...entry.dependencies, ...entry.optionalDependencies, ...entry.devDependencies };
      return Object.keys(wanted)
        .filter((name) => !names.has(name))
        .map((name) => `${path}: ${name}`);
    });
    expect(missing).toEqual([]);
  });
});
