import { readFile, stat } from 'node:fs/promises';
import { option, RopewalkError, said } from '../errors.ts';
import type { CommonConfig } from '../families/config.ts';
import type { Family } from '../families/family.ts';
import { familyOfConfig, findPreset } from '../families/registry.ts';
import { fileError } from '../files/file-errors.ts';
import type { OpenedTeacher } from './open-teacher.node.ts';
import type { StudentOrigin } from './student.node.ts';

/**
 * Where a student begins that is named by one word: random weights of a preset (`llama/tiny`) or of a config.json, which take
 * their vocabulary from the teacher; else the weights of a checkpoint, of which the name is the path. A file or folder comes
 * before a preset of that name.
 *
 * @throws RopewalkError for random weights without a teacher, and for a file that is no config.json.
 */
export async function studentOrigin(
  name: string,
  teacher: OpenedTeacher | undefined,
): Promise<StudentOrigin> {
  const isFile = await stat(name).then(
    (found) => found.isFile(),
    () => undefined,
  );
  const preset = isFile === undefined ? findPreset(name) : undefined;
  if (preset) return scratch(preset.family, preset.preset.config, teacher);
  if (isFile && name.endsWith('.json')) {
    const raw = await readConfig(name);
    const family = familyOfConfig(raw, name);
    return scratch(family, family.readConfig(raw, name), teacher);
  }
  return { kind: 'checkpoint', path: name };
}

/** The vocabulary and the tokens that begin and end a text are the teacher's. */
function scratch(family: Family, config: CommonConfig, teacher: OpenedTeacher | undefined): StudentOrigin {
  if (!teacher) {
    throw new RopewalkError(
      said`a student from scratch takes the tokenizer of its teacher; name its ${option('teacher')} too.`,
    );
  }
  const { vocab_size, bos_token_id, eos_token_id, pad_token_id } = teacher.opened.config;
  return {
    kind: 'scratch',
    family,
    config: { ...config, vocab_size, bos_token_id, eos_token_id, pad_token_id },
  };
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch (error) {
    throw new RopewalkError(`${path} is not valid JSON: ${String(error)}.`, { cause: error });
  }
  throw new RopewalkError(`${path} is no config.json: it must be an object.`);
}
