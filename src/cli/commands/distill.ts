import { readFile, stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { chatStopTokens } from '../../chat/encode.ts';
import { ChatTemplate } from '../../chat/template.ts';
import { type DistillOptions, distill, type TeachingSource } from '../../distillation/distill.node.ts';
import {
  checkSameTokenizer,
  type OpenedTeacher,
  openTeacher,
  vocabularyHash,
} from '../../distillation/open-teacher.node.ts';
import { openStudent, type Student, type StudentOrigin } from '../../distillation/student.node.ts';
import { TaughtFile } from '../../distillation/taught-file.node.ts';
import { RopewalkError } from '../../errors.ts';
import type { CommonConfig } from '../../families/config.ts';
import type { Family } from '../../families/family.ts';
import { familyOfConfig, findPreset } from '../../families/registry.ts';
import { fileError } from '../../files/file-errors.ts';
import { nodeEngine } from '../../runtime/engine.node.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import {
  OPTIMIZER_STATES,
  OPTIMIZERS,
  type OptimizerKind,
  type OptimizerStates,
} from '../../training/optimizers/create-optimizer.ts';
import { RunDirectory } from '../../training/runs/run.node.ts';
import { checkUnlocked } from '../../training/runs/run-lock.node.ts';
import { templateOf } from '../options/data-options.ts';
import { count, fraction, idList, notNegative, positive, wholeNumber } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import {
  addDataOptions,
  checkDataOptions,
  type DataFlags,
  readTeachingText,
  type TeachingText,
} from '../options/teaching-data.ts';
import { worseThanBase } from '../terminal/finetune-view.ts';
import { INTERRUPTED, interruptible, interruptSignal } from '../terminal/interrupt.ts';
import { Progress } from '../terminal/progress.ts';
import { showWarnings } from '../terminal/warnings.ts';
import { follow, tokenizerFiles } from './train.ts';

interface DistillFlags extends DataFlags {
  teacher?: string;
  taught?: string;
  student?: string;
  layers?: readonly number[] | number;
  out: string;
  temperature?: number;
  ratio: number;
  steps: number;
  lr: number;
  schedule: 'cosine' | 'linear' | 'constant';
  warmup: number;
  minLrRatio: number;
  weightDecay: number;
  clip: number;
  accumulate: number;
  optimizer: OptimizerKind;
  states?: OptimizerStates;
  memory: 'fast' | 'recompute' | 'light';
  evalEvery: number;
  saveEvery: number;
  keep: number;
  threads?: number;
  resume?: boolean;
  json?: boolean;
}

/** `4` → how many; `0,2,5` → which; `3,` → that one. */
function layerList(text: string): readonly number[] | number {
  return text.includes(',') ? idList(text.replace(/,$/, '')) : count(text);
}

export function register(program: Command): void {
  const command = program
    .command('distill')
    .description('Teach a small model what a large one says of a text.')
    .option('--teacher <model>', 'a model directory, a GGUF file, or an id on the hub')
    .option('--taught <file>', 'what "teach" wrote, instead of a teacher at hand')
    .option(
      '--student <model>',
      'a checkpoint to begin from; or a preset such as llama/tiny or a config.json, for one from scratch',
    )
    .option(
      '--layers <list>',
      "begin from the teacher's own layers: their numbers (0,2,4), or how many, evenly spread",
      layerList,
    )
    .requiredOption('--out <dir>', 'folder of the run: checkpoints, metrics.jsonl, and the finished model');
  addDataOptions(command)
    .option('--temperature <t>', "of both softmaxes; default 1, or the file's", positive)
    .option('--ratio <r>', "the teacher's share of the loss; the rest is next-token prediction", share, 1)
    .option('--steps <n>', 'optimiser steps', count, 500)
    .option('--lr <rate>', 'peak learning rate', positive, 1e-3)
    .addOption(
      new Option('--schedule <kind>', 'how the learning rate falls')
        .choices(['cosine', 'linear', 'constant'])
        .default('cosine'),
    )
    .option('--warmup <n>', 'steps in which the learning rate climbs', wholeNumber, 20)
    .option('--min-lr-ratio <r>', 'where the rate ends, as a share of the peak', notNegative, 0.1)
    .option('--weight-decay <w>', 'decoupled decay; none on norms and biases', notNegative, 0.1)
    .option('--clip <norm>', 'largest gradient norm; 0 for no clipping', notNegative, 1)
    .option('--accumulate <n>', 'micro-batches for each step', count, 1)
    .addOption(
      new Option('--optimizer <kind>', 'what updates the weights').choices(OPTIMIZERS).default('adamw'),
    )
    .addOption(
      new Option('--states <form>', "what AdamW's moments are kept in (default: float32)").choices(
        OPTIMIZER_STATES,
      ),
    )
    .addOption(
      new Option(
        '--memory <mode>',
        'fast; recompute activations; or light, which also updates while going back',
      )
        .choices(['fast', 'recompute', 'light'])
        .default('fast'),
    )
    .option('--eval-every <n>', 'steps between evaluations; 0 for only at the end', wholeNumber, 100)
    .option('--save-every <n>', 'steps between checkpoints; 0 for only at the end', wholeNumber, 100)
    .option('--keep <n>', 'checkpoints kept', count, 2)
    .option('--threads <n>', 'threads of the engine', count)
    .option('--resume', 'go on with the run in --out')
    .option('--json', 'print the result as JSON on stdout')
    .addHelpText(
      'after',
      `
Teacher and student may be of different families when their tokenizers are the same. Held-out losses are those of
next-token prediction, whatever the ratio.

Examples:
  ropewalk distill --teacher runs/large --student llama/tiny --text stories.txt --out runs/small
  ropewalk distill --teacher google/gemma-2-2b --layers 13 --text ko.txt --ratio 0.7 --memory light --out runs/half
  ropewalk distill --taught stories.taught --teacher runs/large --student llama/tiny --out runs/small`,
    )
    .action(run);
}

const share = (text: string) => (Number(text) === 1 ? 1 : fraction(text));

async function run(flags: DistillFlags, command: Command): Promise<void> {
  checkDataOptions(command);
  const progress = new Progress();
  if (!flags.teacher && !flags.taught) {
    throw new RopewalkError('name a teacher with --teacher, or give what one has written with --taught.');
  }
  if ((flags.student === undefined) === (flags.layers === undefined)) {
    throw new RopewalkError(
      "name a student with --student, or take the teacher's own --layers: one of the two.",
    );
  }
  // Before anything long begins.
  if (flags.resume) await RunDirectory.open(flags.out);
  else await RunDirectory.checkFree(flags.out);
  await checkUnlocked(flags.out);
  const closing: (() => Promise<void>)[] = [];
  try {
    const teacherPath = flags.teacher === undefined ? undefined : await modelPath(flags.teacher);
    const teacher = teacherPath === undefined ? undefined : await openTeacher(teacherPath);
    if (teacher) closing.push(() => teacher.close());
    const file = flags.taught === undefined ? undefined : await TaughtFile.open(flags.taught);
    if (file) closing.push(() => file.close());
    const student = await openStudent(await originOf(flags, teacher, teacherPath));
    const warnings = [...new Set([...(teacher?.opened.warnings ?? []), ...student.warnings])];
    showWarnings(warnings, progress);
    const tokenizer = student.tokenizer ?? teacher!.tokenizer;
    if (teacher && student.tokenizer) checkSameTokenizer(teacher.tokenizer, student.tokenizer);
    if (file && teacher && vocabularyHash(teacher.tokenizer) !== file.header.tokenizer) {
      throw new RopewalkError(
        `${flags.taught} was written by a teacher with another tokenizer than ${flags.teacher}'s (by ${file.header.teacher.name}); name that one, or write the file again.`,
      );
    }
    let text: TeachingText | undefined;
    if (!file) {
      text = await interruptible((signal) =>
        readTeachingText(flags, teacher!.tokenizer, { progress, signal }),
      );
      closing.push(() => text!.close());
    }
    const teaching: TeachingSource = file
      ? { kind: 'offline', file }
      : {
          kind: 'online',
          teacher: teacher!,
          training: text!.source(),
          validation: () => text!.heldOut(),
          dataIdentity: text!.identity,
        };
    const { files, generationConfig } = await savedWith(flags, student, tokenizer, teacher);
    await learn(flags, { ...student, generationConfig }, files, teaching, text, progress, warnings);
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

async function learn(
  flags: DistillFlags,
  student: Student,
  files: DistillOptions['files'],
  teaching: TeachingSource,
  text: TeachingText | undefined,
  progress: Progress,
  warnings: readonly string[],
): Promise<void> {
  const header = teaching.kind === 'offline' ? teaching.file.header : undefined;
  const shape = header
    ? { batch: flags.batch, seq: header.seq, ...(header.packed && { packed: true }) }
    : text!.shape;
  const options: DistillOptions = {
    ...{ student, teaching, shape },
    settings: {
      temperature: flags.temperature ?? header?.temperature ?? 1,
      ratio: flags.ratio,
      steps: flags.steps,
      accumulate: flags.accumulate,
      learningRate: flags.lr,
      schedule: flags.schedule,
      warmupSteps: Math.min(flags.warmup, flags.steps),
      minimumRatio: flags.minLrRatio,
      weightDecay: flags.weightDecay,
      betas: [0.9, 0.95],
      eps: 1e-8,
      clipNorm: flags.clip,
      optimizer: flags.optimizer,
      ...(flags.states && { states: flags.states }),
      evaluateEvery: flags.evalEvery,
      checkpointEvery: flags.saveEvery,
      seed: flags.seed,
    },
    memory: flags.memory,
    ...{ files, out: flags.out, keep: flags.keep, resume: flags.resume ? 'must' : 'never' },
  };
  const { signal, dispose } = interruptSignal(() =>
    progress.note('stopping after this step; a checkpoint will be saved …'),
  );
  const started = performance.now();
  const engine = nodeEngine(flags.threads === undefined ? {} : { threads: flags.threads });
  let result: Awaited<ReturnType<typeof follow>>;
  try {
    result = await follow(distill(engine, options, signal), flags.steps, progress);
  } finally {
    progress.end();
    dispose();
  }
  const { finished, ...measured } = result;
  const seconds = (performance.now() - started) / 1000;
  if (flags.json) {
    process.stdout.write(
      `${JSON.stringify({ out: flags.out, seconds, interrupted: !finished, ...measured, warnings })}\n`,
    );
  }
  if (finished) {
    const worse = worseThanBase(result.validationLoss, result.baseLoss);
    if (worse) progress.note(worse);
    progress.note(
      `the student is in ${flags.out}; try: ropewalk generate ${flags.out} --prompt "…" --max-tokens 50`,
    );
  } else {
    progress.note('interrupted; go on with the same command and --resume');
    process.exitCode = INTERRUPTED;
  }
}

/**
 * The tokenizer's files that the student is saved with, the named chat template in them, and its generation config: what ends
 * a turn of the template is among the tokens that end a text, as in the result of `finetune`.
 */
async function savedWith(
  flags: DistillFlags,
  student: Student,
  tokenizer: Tokenizer,
  teacher: OpenedTeacher | undefined,
): Promise<{
  files: DistillOptions['files'];
  generationConfig: Record<string, unknown> | undefined;
}> {
  const given = flags.template === undefined ? undefined : await templateOf(flags.template, tokenizer);
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
  { student, layers }: DistillFlags,
  teacher: OpenedTeacher | undefined,
  teacherPath: string | undefined,
): Promise<StudentOrigin> {
  if (layers !== undefined) {
    if (teacherPath === undefined)
      throw new RopewalkError("--layers are the teacher's; name it with --teacher.");
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
