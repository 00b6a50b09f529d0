/**
 * The built package in Deno: the same results as in Node, and a clean exit, with and without `release`.
 *
 *     npm run build && node scripts/run-ts.js verify/deno.ts --deno PATH --model FOLDER > verify/deno.txt
 *
 * PATH is Deno's binary (the npm package `deno` brings it); FOLDER a model directory with a tokenizer.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { deno: { type: 'string' }, model: { type: 'string' } } });
if (!values.deno || !values.model) throw new Error('pass --deno PATH and --model FOLDER');
const model = JSON.stringify(resolve(values.model));

const PROGRAMS: Readonly<Record<string, string>> = {
  'a graph by the C interface and by the binding': `
    import { graph, runtime } from 'ropewalk';
    const { mul, parameter, reduceSum, reshape } = graph.ops;
    const x = parameter('x', [3]);
    const y = reshape(reduceSum(mul(x, x), [0]), []);
    for (const binding of [false, true]) {
      const engine = runtime.nodeEngine({ threads: 1 }, { binding });
      const executable = await runtime.Executable.compile(engine, new Map([['y', y]]));
      const { y: result } = await executable.run({ x: { data: Float32Array.of(1, 2, 3), shape: [3] } });
      console.log(String(result.data));
      await executable.release();
    }`,
  'loadHere, released': `
    import { loadHere } from 'ropewalk';
    const model = await loadHere(${model}, { threads: 1 });
    let text = '';
    for await (const piece of model.generate('Once', { maxTokens: 20, greedy: true })) text += piece;
    console.log(text);
    await model.release();`,
  'load, released: twelve calls on one signal, scores, taps, an error': `
    import { load, RopewalkError } from 'ropewalk';
    const model = await load(${model}, { threads: 1 });
    const { signal } = new AbortController();
    const texts = await Promise.all(Array.from({ length: 12 }, async () => {
      let text = '';
      for await (const piece of model.generate('Once', { maxTokens: 8, greedy: true, signal })) text += piece;
      return text;
    }));
    console.log(new Set(texts).size, texts[0]);
    console.log((await model.score('Once upon a time')).perplexity.toFixed(6));
    console.log(Object.keys((await model.run([1, 2, 3], { taps: ['logits'] })).values).join());
    try { await model.generate('Once', { maxTokens: 1e6 }).next(); } catch (error) {
      console.log(error instanceof RopewalkError, error.message);
    }
    await model.release();`,
  'load, not released': `
    import { load } from 'ropewalk';
    const model = await load(${model}, { threads: 1 });
    for await (const piece of model.generate('Once', { maxTokens: 3, greedy: true })) console.log(piece);`,
};

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-deno-'));
try {
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(resolve('.'), join(folder, 'node_modules/ropewalk'), 'dir');
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  const env = { ...process.env, DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' };
  const run = (command: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: 'utf8', env });
    return { status, stdout, stderr };
  };
  const rights = ['--allow-read', '--allow-env', '--allow-ffi', '--allow-sys'];
  console.log(run(values.deno, '--version').stdout.split('\n')[0]);
  console.log(`node ${process.version}; deno run ${rights.join(' ')} --node-modules-dir=manual`);
  for (const [name, program] of Object.entries(PROGRAMS)) {
    writeFileSync(join(folder, 'program.js'), program);
    const node = run(process.execPath, 'program.js');
    const deno = run(values.deno, 'run', ...rights, '--no-prompt', '--node-modules-dir=manual', 'program.js');
    const same = JSON.stringify(node) === JSON.stringify(deno) && node.status === 0 && node.stderr === '';
    console.log(
      `${name}: ${same ? 'the same output and exit code as in Node' : JSON.stringify({ node, deno })}`,
    );
    if (!same) process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
