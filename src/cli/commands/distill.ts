import type { Command } from 'commander';
import { z } from 'zod';
import { openTemplate } from '../../data/open-template.node.ts';
import { openDistillation, type TeachingSource } from '../../distillation/distill.node.ts';
import {
  checkSameTokenizer,
  type OpenedTeacher,
  openTeacher,
  vocabularyHash,
} from '../../distillation/open-teacher.node.ts';
import { DISTILL } from '../../distillation/settings.ts';
import { openStudent, type StudentOrigin } from '../../distillation/student.node.ts';
import { studentFiles } from '../../distillation/student-files.node.ts';
import { studentOrigin } from '../../distillation/student-origin.node.ts';
import { TaughtFile } from '../../distillation/taught-file.node.ts';
import { onlineTeaching } from '../../distillation/teaching-rows.node.ts';
import { RopewalkError } from '../../errors.ts';
import { OptionError, option, text, wholeNumber } from '../../options.ts';
import { count, idList } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import {
  checkDataOptions,
  readTeachingText,
  TEACHING_DEFAULTS,
  teachingShape,
} from '../options/teaching-data.ts';
import { type RunCommand, registerRun } from '../runs/run-command.ts';

const LAYERS = 'give the indexes of layers, or how many';
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
    // 4 is a count; 0,2,5 are indexes; "3," is a single index.
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
next-token prediction, whatever the ratio. With --taught, the file determines seq and temperature.

Examples:
  ropewalk distill --teacher runs/large --student llama/tiny --text stories.txt --out runs/small
  ropewalk distill --teacher google/gemma-2-2b --layers 13 --text ko.txt --ratio 0.7 --memory light --out runs/half
  ropewalk distill --taught stories.taught --teacher runs/large --student llama/tiny --out runs/small`,
  );
}

/** Opens teacher and student, and reads the text. */
const distill: Distilling['open'] = async (said, settings, { progress, signal, ranks }) => {
  checkDataOptions(Object.keys({ ...said, ...settings }));
  const { teacher: named, taught, template } = said;
  if (named === undefined && taught === undefined) {
    throw new RopewalkError('choose a teacher with --teacher, or its recorded probabilities with --taught.');
  }
  if ((said.student === undefined) === (said.layers === undefined)) {
    throw new RopewalkError(
      "choose a student with --student, or some of the teacher's layers with --layers: one of the two.",
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
        `${taught} was written by a teacher (${file.header.teacher.name}) whose tokenizer differs from ${named}'s; use that teacher, or write the file again.`,
      );
    }
    let teaching: TeachingSource;
    if (file) teaching = { kind: 'offline', file };
    else {
      const all = { ...DISTILL.defaults, ...TEACHING_DEFAULTS, ...settings, ...said };
      const read = await readTeachingText(all, teacher!.tokenizer, { progress, signal });
      closing.push(() => read.close());
      teaching = onlineTeaching(teacher!, read.rows);
    }
    const { files, generationConfig } = studentFiles(student, tokenizer, {
      ...(teacher && { teacher }),
      ...(template !== undefined && { template: await openTemplate(template, tokenizer) }),
    });
    const job = await openDistillation({
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

/** Where the student begins; one that is named by an id on the hub is downloaded. */
async function originOf(
  { student, layers }: Pick<Parameters<Distilling['open']>[0], 'student' | 'layers'>,
  teacher: OpenedTeacher | undefined,
  teacherPath: string | undefined,
): Promise<StudentOrigin> {
  if (layers !== undefined) {
    if (teacherPath === undefined)
      throw new OptionError('layers', "they are the teacher's layers; choose a teacher with --teacher.");
    return { kind: 'layers', path: teacherPath, layers };
  }
  const origin = await studentOrigin(student!, teacher);
  return origin.kind === 'checkpoint' ? { ...origin, path: await modelPath(origin.path) } : origin;
}
