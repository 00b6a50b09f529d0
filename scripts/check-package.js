/**
 * Packs the built package as it would be published, and lets publint and @arethetypeswrong/cli look at it: exports, types,
 * files. Needs no network.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-pack-'));
try {
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], {
    encoding: 'utf8',
  }).trim();
  const file = join(folder, packed);
  const run = (program, ...args) =>
    execFileSync(process.execPath, [join('node_modules', program), ...args], { stdio: 'inherit' });
  run('publint/src/cli.js', 'run', file, '--strict');
  // The package has ES modules alone: what CommonJS and older resolvers would see is no concern.
  run('@arethetypeswrong/cli/dist/index.js', file, '--profile', 'esm-only');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
