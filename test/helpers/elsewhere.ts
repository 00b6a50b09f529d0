/**
 * Every test file runs in an empty folder elsewhere, so that none can depend on where the tests were started, and keeps
 * no layouts of models in the user's cache.
 */
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = join(tmpdir(), 'ropewalk-elsewhere');
mkdirSync(folder, { recursive: true });
process.chdir(folder);
process.env.ROPEWALK_LAYOUT_CACHE = 'off';
