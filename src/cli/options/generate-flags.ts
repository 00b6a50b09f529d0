import type { OpenedModel } from '../../checkpoint/load.node.ts';
import { RopewalkError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { compileSchemaFile, readSchema } from './json-schema.ts';
import { type DecoderFlags, decoderOptions, loadingProgress } from './models.ts';
import type { PromptFlags } from './prompt.ts';
import { checkSampling, type SamplingFlags } from './sampling-options.ts';
import { checkSpeculation, type SpeculationFlags } from './speculation.ts';

/** The flags of `generate`. */
export interface GenerateFlags extends DecoderFlags, SamplingFlags, SpeculationFlags, PromptFlags {
  maxTokens?: number;
  stopIds?: number[];
  ignoreEos?: boolean;
  jsonSchema?: string;
  json?: boolean;
  prompts?: string;
  batch?: number;
  out?: string;
}

/** Refuses flags that contradict each other. */
export function checkFlags(flags: GenerateFlags): void {
  const many = flags.batch === undefined ? flags.out && '--out' : '--batch';
  if (many && flags.prompts === undefined) throw new RopewalkError(`${many} needs --prompts FILE.`);
  checkSampling(flags);
  checkSpeculation(flags);
  if (flags.stopIds && flags.ignoreEos) {
    throw new RopewalkError(
      '--stop-ids determines what ends the text; it cannot be combined with --ignore-eos.',
    );
  }
  if (flags.stop?.includes(''))
    throw new RopewalkError('a stop string is empty; give the text to stop before.');
  const ends = [
    ['--stop', flags.stop],
    ['--stop-ids', flags.stopIds],
    ['--ignore-eos', flags.ignoreEos],
  ] as const;
  const ending = ends.find(([, value]) => value !== undefined);
  if (flags.jsonSchema !== undefined && ending) {
    throw new RopewalkError(
      `--json-schema determines where the text ends; it cannot be combined with ${ending[0]}.`,
    );
  }
}

/** Refuses flags that need text, for a model without a tokenizer. */
function checkTokenizer(flags: GenerateFlags, tokenizer: Tokenizer | undefined, model: string): void {
  if (tokenizer) return;
  const names = {
    prompt: '--prompt',
    promptFile: '--prompt-file',
    stop: '--stop',
    jsonSchema: '--json-schema',
  } as const;
  const needing = (Object.keys(names) as (keyof typeof names)[]).find((key) => flags[key] !== undefined);
  if (!needing) return;
  throw new RopewalkError(
    `${names[needing]} needs text, but ${model} has no tokenizer.json; use --ids${needing === 'prompt' || needing === 'promptFile' ? '' : ` without ${names[needing]}`}.`,
  );
}

/** What a single text and the rows of a file have in common. */
export function generationOptions(flags: GenerateFlags, opened: OpenedModel, model: string) {
  const { stopIds, ignoreEos, jsonSchema, maxTokens } = flags;
  const { greedy, temperature, topK, topP, minP, repetitionPenalty, seed, stop } = flags;
  return {
    ...{ greedy, temperature, topK, topP, minP, repetitionPenalty, seed, stop, maxTokens },
    ...{ ...decoderOptions(flags), ...loadingProgress(opened), name: model },
    ...(jsonSchema !== undefined && { jsonSchema: readSchema(jsonSchema) }),
    stopTokens: stopIds ?? (ignoreEos ? [] : undefined),
    check(tokenizer: Tokenizer | undefined) {
      checkTokenizer(flags, tokenizer, model);
      if (jsonSchema !== undefined) compileSchemaFile(jsonSchema, tokenizer!);
    },
  };
}

/** Refuses what belongs to a single text. */
export function checkRowFlags(flags: GenerateFlags): void {
  const rows = 'the rows of the file are the prompts';
  const together = 'texts run together instead of speculating';
  const given = [
    ['--prompt', flags.prompt, rows],
    ['--prompt-file', flags.promptFile, rows],
    ['--ids', flags.ids, rows],
    ['--speculate', flags.speculate, together],
    ['--draft', flags.draft, together],
    ['--json', flags.json, 'the result is JSON anyway'],
  ] as const;
  const [name, , reason] = given.find(([, value]) => value !== undefined) ?? [];
  if (name) throw new RopewalkError(`${name} cannot be combined with --prompts: ${reason}. Leave it out.`);
}
