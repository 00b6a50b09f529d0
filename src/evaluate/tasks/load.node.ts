import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';
import type { TaskFile } from './task-file.ts';

/**
 * A task file merged with the files that it includes; its own fields take precedence.
 *
 * @throws RopewalkError naming a file that cannot be read, is not a task file, or includes itself.
 */
export async function loadTaskFile(path: string, above: readonly string[] = []): Promise<TaskFile> {
  const whole = resolve(path);
  if (above.includes(whole)) {
    throw new RopewalkError(
      `${path}: it includes itself, through ${above.length} files; remove one "include"`,
    );
  }
  let text: string;
  try {
    text = await readFile(whole, 'utf8');
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  const { parseTaskFile } = await import('./yaml.ts');
  const { include, ...own } = parseTaskFile(text, path);
  if (include === undefined || include === null) return own;
  const included: Record<string, unknown> = {};
  for (const one of Array.isArray(include) ? include : [include]) {
    if (typeof one !== 'string') throw new RopewalkError(`${path}: "include" must name files`);
    const file = isAbsolute(one) ? one : join(dirname(whole), one);
    const { task_list: _, ...fields } = await loadTaskFile(file, [...above, whole]);
    Object.assign(included, fields);
  }
  return { ...included, ...own };
}
