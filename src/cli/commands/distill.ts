import { readFile, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { chatStopTokens } from '../../chat/encode.ts';
import { ChatTemplate } from '../../chat/template.ts';
import { openDistillation, type TeachingSource } from '../../distillation/distill.node.ts';
import {
  checkSameTokenizer,
  type OpenedTeacher,
  openTeacher,
  vocabularyHash,
} from '../../distillation/open-teacher.node.ts';
import { DISTILL } from '../../distillation/settings.ts';
import { openStudent, type Student, type StudentOrigin } from '../../distillation/student.node.ts';
import { TaughtFile } from '../../distillation/taught-file.node.ts';
import { RopewalkError } from '../../errors.ts';
import type { CommonConfig } from '../../families/config.ts';
import type { Family } from '../../families/family.ts';
import { familyOfConfig, findPreset } from '../../families/registry.ts';
import { fileError } from '../../files/file-errors.ts';
import { OptionError, option, text, wholeNumber } from '../../options.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { ModelIdentity } from '../../training/runs/run-directory.node.ts';
import { templateOf } from '../options/data-options.ts';
import { count, idList } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import {
  checkDataOptions,
  readTeachingText,
  TEACHING_DEFAULTS,
  teachingShape,
} from '../options/teaching-data.ts';
import { type RunCommand, registerRun } from '../runs/run-command.ts';
import { tokenizerFiles } from './train.ts';

const LAYERS = 'give numbers of layers, or how many';
const more = {
  teacher: option(text, 'a model directory, a GGUF file, or an id on the hub', { value: 'model' }),
  taught: option(text, 'the file that "teach" wrote, instead of an online teacher', { value: 'file' }),
  student: option(
    text,
    'a checkpoint to start from, or a preset such as llama/tiny or a config.json to train from scratch',
    { value: 'model' },
  ),
  layers: option(
    z.union([z.array(wholeNumber, LAYERS), wholeNumber], LAYERS),
    "start from the teacher's own layers: their indexes (0,2,4), or how many, evenly spaced",
    // 4 is how many; 0,2,5 are which; 3, is that one.
    {
      value: 'list',
      parse: (given) => (given.includes(',') ? idList(given.replace(/,$/, '')) : count(given)),
    },
  ),
  ...teachingShape,
};

type Distilling = RunCommand<typeof DISTILL.own, typeof more>;

export function register(program: Command): void {
  const command = program
    .command('distill')
    .description('Train a small model to predict the probabilities of a large one.');
  registerRun(command, {
    ...{ verb: DISTILL, more, moreDefaults: TEACHING_DEFAULTS, open: distill },
  }).addHelpText(
    'after',
    `
Teacher and student may belong to different families if their tokenizers are the same. Held-out losses are those of
next-token prediction, whatever the ratio. A file of --taught settles seq and temperature.

Examples:
  ropewalk distill --teacher runs/large --student llama/tiny --text stories.txt --out runs/small
  ropewalk distill --teacher google/gemma-2-2b --layers 13 --text ko.txt --ratio 0.7 --memory light --out runs/half
  ropewalk distill --taught stories.taught --teacher runs/large --student llama/tiny --out runs/small`,
  );
}

/** Opens teacher and student, and reads the text: what a run is made of. */
const distill: Distilling['open'] = async (said, settings, { progress, signal, ranks }) => {
  checkDataOptions(Object.keys({ ...said, ...settings }));
  const { teacher: named, taught, template } = said;
  if (named === undefined && taught === undefined) {
    throw new RopewalkError('name a teacher with --teacher, or the file of one with --taught.');
  }
  if ((said.student === undefined) === (said.layers === undefined)) {
    throw new RopewalkError(
      "name a student with --student, or take the teacher's own --layers: one of the two.",
    );
  }
  const closing: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const each of closing.splice(0).reverse()) await each();
  };
  try {
    const teacherPath = named === undefined ? undefined : await modelPath(named);
    const teacher = teacherPath === undefined ? undefined : await openTeacher(teacherPath);
    if (teacher) closing.push(() => teacher.close());
    const file = taught === undefined ? undefined : await TaughtFile.open(taught);
    if (file) closing.push(() => file.close());
    const student = await openStudent(await originOf(said, teacher, teacherPath));
    const warnings = [...new Set([...(teacher?.opened.warnings ?? []), ...student.warnings])];
    const tokenizer = student.tokenizer ?? teacher!.tokenizer;
    if (teacher && student.tokenizer) checkSameTokenizer(teacher.tokenizer, student.tokenizer);
    if (file && teacher && vocabularyHash(teacher.tokenizer) !== file.header.tokenizer) {
      throw new RopewalkError(
        `${taught} was written by a teacher with another tokenizer than ${named}'s (by ${file.header.teacher.name}); name that one, or write the file again.`,
      );
    }
    let teaching: TeachingSource;
    if (file) teaching = { kind: 'offline', file };
    else {
      const all = { ...DISTILL.defaults, ...TEACHING_DEFAULTS, ...settings, ...said };
      const read = await readTeachingText(all, teacher!.tokenizer, { progress, signal });
      closing.push(() => read.close());
      const { source: training, heldOut: validation, identity: dataIdentity, size, shape } = read;
      const packed = shape.packed ?? false;
      teaching = { kind: 'online', teacher: teacher!, training, validation, dataIdentity, size, packed };
    }
    const { files, generationConfig } = await savedWith(template, student, tokenizer, teacher);
    const job = openDistillation({
      ...settings,
      ranks,
      student: { ...student, generationConfig },
      teaching,
      files,
    });
    return { ...job, warnings, close };
  } catch (error) {
    await close();
    throw error;
  }
};

/**
 * The tokenizer's files that the student is saved with, the named chat template in them, and its generation config: what ends
 * a turn of the template is among the tokens that end a text, as in the result of `finetune`.
 */
async function savedWith(
  named: string | undefined,
  student: Student,
  tokenizer: Tokenizer,
  teacher: OpenedTeacher | undefined,
): Promise<{
  files: ModelIdentity['files'];
  generationConfig: Record<string, unknown> | undefined;
}> {
  const given = named === undefined ? undefined : await templateOf(named, tokenizer);
  const template = given ?? ChatTemplate.fromConfig(tokenizer.config, 'the chat template of the teacher');
  const files = tokenizerFiles(tokenizer, given);
  // What the student's own files say; else what ends a text of the teacher's, whose vocabulary it has.
  const own = student.stopTokens.length > 0 ? student.stopTokens : (teacher?.opened.stopTokens ?? []);
  const stops = template ? chatStopTokens(tokenizer, template, own) : own;
  if (stops.length === 0) return { files, generationConfig: student.generationConfig };
  const { bos_token_id: bos, pad_token_id: pad } = student.config;
  const begin = student.generationConfig ?? {
    ...(bos !== null && { bos_token_id: bos }),
    ...(pad !== null && { pad_token_id: pad }),
  };
  return { files, generationConfig: { ...begin, eos_token_id: stops.length === 1 ? stops[0] : stops } };
}

/** Where the student begins: the teacher's layers, a preset, a config.json, or a checkpoint. */
async function originOf(
  { student, layers }: Pick<Parameters<Distilling['open']>[0], 'student' | 'layers'>,
  teacher: OpenedTeacher | undefined,
  teacherPath: string | undefined,
): Promise<StudentOrigin> {
  if (layers !== undefined) {
    if (teacherPath === undefined)
      throw new OptionError('layers', "they are the teacher's; name it with --teacher.");
    return { kind: 'layers', path: teacherPath, layers };
  }
  const name = student!;
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
  return { kind: 'checkpoint', path: await modelPath(name) };
}

/** The vocabulary and the tokens that begin and end a text are the teacher's. */
function scratch(family: Family, config: CommonConfig, teacher: OpenedTeacher | undefined): StudentOrigin {
  if (!teacher) {
    throw new RopewalkError(
      'a student from scratch takes the tokenizer of its teacher; name the teacher with --teacher too.',
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
