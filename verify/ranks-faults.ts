/**
 * Kills ranks of a training run at random moments, some of them inside a checkpoint, and resumes it each time: every job
 * must end, leave no process behind and say what happened, and the finished run must have the bits of one that was never
 * killed.
 *
 *     npm run build && node scripts/run-ts.js verify/ranks-faults.ts [--kills 20] [--shard none|states|all] [--seed 1] [--steps 200]
 *
 * Needs Open MPI. Recorded in ranks-faults.txt.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Random } from '../src/random.ts';
import { isRunning, ranksOf } from '../test/helpers/ranks.node.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    shard: { type: 'string', default: 'none' },
    seed: { type: 'string', default: '1' },
    steps: { type: 'string', default: '200' },
  },
});
const kills = Number(values.kills);
const RANKS = 3;
const program = fileURLToPath(new URL('../bin/ropewalk.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'ropewalk-faults-'));
const text = join(folder, 'text.txt');
const random = new Random(Number(values.seed));
const words = ['rope', 'walk', 'of', 'the', 'a', 'hemp', 'sea', 'spun', 'long', 'and'];
writeFileSync(text, Array.from({ length: 6000 }, () => words[random.nextInt(words.length)]).join(' '));

function start(out: string, more: readonly string[] = []) {
  const args = [
    ...['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none', '-n', String(RANKS)],
    ...[process.execPath, program, 'train', '--family', 'llama', '--text', text, '--out', out],
    ...['--vocab-size', '300', '--seq', '24', '--batch', '6', '--steps', values.steps!, '--seed', '5'],
    ...['--save-every', '1', '--eval-every', '50', '--threads', '1', '--shard', values.shard!, ...more],
  ];
  const child = spawn('mpirun', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    output.stderr += piece;
  });
  return { process: child, output, closed: once(child, 'close') as Promise<[number | null]> };
}

const checkpoints = (out: string) =>
  existsSync(join(out, 'checkpoints')) ? readdirSync(join(out, 'checkpoints')) : [];
const newest = (out: string) =>
  Math.max(0, ...checkpoints(out).map((name) => Number(/^step-0*(\d+)$/.exec(name)?.[1] ?? 0)));
const isSaving = (out: string) => checkpoints(out).some((name) => name.includes('.partial'));

/** The steps of a run and their losses; those of steps that were made again are the same. */
function losses(out: string): Map<number, number> {
  const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const steps = lines.map((line) => JSON.parse(line) as { type: string; step: number; loss: number });
  return new Map(steps.filter(({ type }) => type === 'step').map(({ step, loss }) => [step, loss]));
}

function expectThat(isSo: boolean, what: string, more = ''): void {
  if (!isSo) throw new Error(`not so: ${what}\n${more}`);
}

try {
  const [whole, killed] = [join(folder, 'whole'), join(folder, 'killed')];
  const undisturbed = start(whole);
  const [code] = await undisturbed.closed;
  expectThat(code === 0, 'the run without kills ends well', undisturbed.output.stderr);
  let inside = 0;
  for (let kill = 1; kill <= kills; kill++) {
    const before = newest(killed);
    const job = start(killed, before > 0 ? ['--resume'] : []);
    // From its first new checkpoint on, so that every job makes progress.
    while (newest(killed) <= before) await pause(5);
    await pause(random.nextInt(400));
    const wantsInside = kill % 2 === 0;
    while (wantsInside && !isSaving(killed)) await pause(1);
    const pids = ranksOf(job as never);
    expectThat(pids.length === RANKS, 'all ranks run', job.output.stderr);
    const rank = random.nextInt(RANKS);
    process.kill(pids[rank]!, 'SIGKILL');
    const isInside = isSaving(killed);
    if (isInside) inside++;
    const began = performance.now();
    const [ended] = await job.closed;
    const seconds = (performance.now() - began) / 1000;
    // A killed process takes a moment to give its memory back.
    for (let tries = 0; tries < 100 && pids.some(isRunning); tries++) await pause(100);
    const left = pids.filter(isRunning);
    expectThat(ended !== 0, 'the job fails');
    expectThat(left.length === 0, 'no process is left', left.join(' '));
    expectThat(
      new RegExp(`process rank ${rank} with PID .* exited on signal 9`).test(job.output.stderr),
      "mpirun's message names the rank",
      job.output.stderr,
    );
    expectThat(
      job.output.stderr.includes('run the same command with --resume'),
      'our message says how to continue',
      job.output.stderr,
    );
    console.log(
      `kill ${kill}: rank ${rank} ${isInside ? 'inside a checkpoint' : 'between checkpoints'}; the job ended with ${ended} in ${seconds.toFixed(1)} s; the newest checkpoint is of step ${newest(killed)}`,
    );
  }
  const last = start(killed, ['--resume']);
  const [finished] = await last.closed;
  expectThat(finished === 0, 'the resumed run ends well', last.output.stderr);
  const model = (out: string) => readFileSync(join(out, 'model.safetensors'));
  expectThat(model(whole).equals(model(killed)), 'the weights have the same bits');
  const [wanted, got] = [losses(whole), losses(killed)];
  expectThat(
    [...wanted].every(([step, loss]) => got.get(step) === loss),
    'all losses are the same',
  );
  console.log(
    `${kills} kills of one of ${RANKS} ranks (--shard ${values.shard}), ${inside} inside a checkpoint: all jobs ended, no process was left, and the result after ${wanted.size} steps has the bits of a run without kills`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
