/**
 * Cuts the link of one of two hosts (network namespaces) while they train: the job must end within two minutes, by mpirun or
 * by our own watchdog, and leave no process behind on either host.
 *
 *     npm run build && node scripts/run-ts.js verify/ranks-link.ts [--timeout 120]
 *
 * Needs root, iproute2 and Open MPI. Recorded in ranks-link.txt.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Hosts } from './ranks/hosts.ts';

const { values } = parseArgs({ options: { timeout: { type: 'string', default: '120' } } });
const program = fileURLToPath(new URL('../bin/ropewalk.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'ropewalk-link-'));
const text = join(folder, 'text.txt');
writeFileSync(text, 'A rope that is walked is a rope that is made. '.repeat(200));
const hosts = new Hosts(2);
const left = () => hosts.processes();
try {
  const train = [
    ...[
      process.execPath,
      program,
      'train',
      '--family',
      'llama',
      '--text',
      text,
      '--out',
      join(folder, 'run'),
    ],
    ...['--vocab-size', '280', '--seq', '24', '--batch', '4', '--steps', '100000', '--eval-every', '5'],
    ...['--save-every', '0', '--threads', '1'],
  ];
  const job = hosts.mpirun(2, train, ['-x', `ROPEWALK_RANKS_TIMEOUT=${values.timeout}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  job.stderr!.setEncoding('utf8').on('data', (piece: string) => {
    errors += piece;
    process.stderr.write(piece);
  });
  const closed = once(job, 'close') as Promise<[number | null]>;
  while (!/step 5: held-out loss/.test(errors) && job.exitCode === null) await pause(50);
  await pause(700);
  const cut = performance.now();
  console.log('the link goes down');
  hosts.link(2, 'down');
  const [code] = await closed;
  const seconds = (performance.now() - cut) / 1000;
  console.log(errors.slice(errors.indexOf('step 5:')).trim());
  console.log(`the job ended with ${code}, ${seconds.toFixed(1)} s after the link went down`);
  let waited = 0;
  while (left().length > 0 && waited < 120) {
    await pause(1000);
    waited++;
  }
  const still = left();
  console.log(
    still.length === 0 ? `no process is left after ${waited} s more` : `processes left: ${still.join(' ')}`,
  );
  if (code === 0 || seconds > 120 || still.length > 0) process.exitCode = 1;
} finally {
  hosts.remove();
  rmSync(folder, { recursive: true, force: true });
}
