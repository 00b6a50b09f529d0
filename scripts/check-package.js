/**
 * Packs the built package as it would be published, and runs publint and @arethetypeswrong/cli on it: exports, types,
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
  // The package has only ES modules, so the checks for CommonJS and older resolvers do not apply.
  run('@arethetypeswrong/cli/dist/index.js', file, '--profile', 'esm-only');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
