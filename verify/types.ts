/**
 * Compiles the declarations as a user's project would: the packed package, installed only with Node's types, without
 * the DOM library and without skipLibCheck, with several versions of TypeScript.
 *
 *     npm run build && node scripts/run-ts.js verify/types.ts [VERSION…] > verify/types.txt     (needs the npm registry)
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const versions =
  process.argv.slice(2).length > 0 ? process.argv.slice(2) : ['5.6', '5.7', '5.9', '6.0', '7.0'];

const PROGRAM = `
import { compare, finetune, graph, type LanguageModel, load, loadHere, RopewalkError, type training } from 'ropewalk';
import * as core from 'ropewalk/core';
async function main(): Promise<void> {
  const m: LanguageModel = await load('x', { quantize: { bits: 4, block: 64 } });
  for await (const piece of m.generate('a', { maxTokens: 3, jsonSchema: { type: 'object' } })) process.stdout.write(piece);
  console.log(await m.chat([{ role: 'user', content: 'x' }]).next(), (await m.score('x')).perplexity);
  const h = await loadHere('x'); h.decoder.newCache();
  const loss: training.Loss = core.training.crossEntropy;
  for await (const ev of finetune('p', 'd.jsonl', { out: 'o', epochs: 1, loss })) if (ev.type === 'evaluation') console.log(ev.loss);
  try { await m.release(); } catch (err) { if (err instanceof RopewalkError) console.log(err.message); }
  console.log(graph.ops, core.graph.differentiate, compare);
}
void main();
`;

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-types-'));
try {
  const npm = (...args: string[]) => execFileSync('npm', args, { cwd: folder, encoding: 'utf8' });
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], {
    encoding: 'utf8',
  }).trim();
  writeFileSync(join(folder, 'package.json'), '{"type": "module", "private": true}');
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--silent'];
  npm('install', ...quiet, join(folder, packed), '@types/node@20');
  writeFileSync(join(folder, 'program.ts'), PROGRAM);
  for (const version of versions) {
    const home = join(folder, `typescript-${version}`);
    mkdirSync(home);
    execFileSync('npm', ['install', ...quiet, '--prefix', home, `typescript@${version}`], { cwd: home });
    const tsc = join(home, 'node_modules/typescript/bin/tsc');
    const { version: exact } = JSON.parse(
      readFileSync(join(home, 'node_modules/typescript/package.json'), 'utf8'),
    ) as { version: string };
    for (const [name, how] of [
      ['nodenext', ['--module', 'nodenext']],
      ['bundler', ['--module', 'esnext', '--moduleResolution', 'bundler']],
      [
        'bundler, browser',
        ['--module', 'esnext', '--moduleResolution', 'bundler', '--customConditions', 'browser'],
      ],
    ] as const) {
      const browser = name.endsWith('browser');
      const file = browser ? 'page.ts' : 'program.ts';
      // In a browser, the package has only the core.
      if (browser)
        writeFileSync(
          join(folder, file),
          "import { LocalModel } from 'ropewalk';\nconsole.log(LocalModel);\n",
        );
      const strict = ['--strict', '--noEmit', '--target', 'es2022', '--types', 'node', '--lib', 'es2022'];
      const { status, stdout } = spawnSync(process.execPath, [tsc, ...strict, ...how, file], {
        cwd: folder,
        encoding: 'utf8',
      });
      console.log(`TypeScript ${exact}, ${name}: ${status === 0 ? 'no errors' : stdout.trim()}`);
      if (status !== 0) process.exitCode = 1;
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
