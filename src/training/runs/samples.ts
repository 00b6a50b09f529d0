import { chatStopTokens } from '../../chat/encode.ts';
import { ChatTemplate } from '../../chat/template.ts';
import { generateReply } from '../../generation/chat.ts';
import type { Decoder } from '../../generation/decoder.ts';
import { generateText } from '../../generation/generate-text.ts';
import { OptionError } from '../../options.ts';
import type { Engine } from '../../runtime/engine.ts';
import { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { CurrentDecoder } from '../current-decoder.ts';
import type { Learner } from '../learner.ts';
import type { TrainingSettings } from '../settings.ts';
import type { Sample } from './events.ts';

/** A file of a tokenizer, as a model directory has it. */
interface TokenizerFile {
  readonly name: string;
  readonly data: string | Uint8Array;
}

/** @throws OptionError if prompts are given and the files have no tokenizer.json to encode them. */
export function checkSampling(files: readonly TokenizerFile[], { samplePrompt }: TrainingSettings): void {
  if (samplePrompt.length > 0 && !files.some(({ name }) => name === 'tokenizer.json')) {
    throw new OptionError('samplePrompt', 'the run has no tokenizer.json to encode it; leave it out.');
  }
}

/**
 * Samples of a run whose tokenizer is among the files that are saved with its weights; undefined where no prompt is given.
 *
 * @param options.chats whether prompts are user messages, if the tokenizer has a chat template.
 */
export function samplingOf(
  { engine, learner }: { readonly engine: Engine; readonly learner: Learner },
  files: readonly TokenizerFile[],
  { samplePrompt: prompts, sampleTokens: maxTokens }: TrainingSettings,
  { stopTokens, chats }: { readonly stopTokens: readonly number[]; readonly chats: boolean },
): Sampling | undefined {
  if (prompts.length === 0) return undefined;
  const read = (name: string) => {
    const data = files.find((file) => file.name === name)?.data;
    if (data === undefined) return undefined;
    return JSON.parse(typeof data === 'string' ? data : new TextDecoder().decode(data)) as Record<
      string,
      unknown
    >;
  };
  const tokenizer = Tokenizer.fromJSON(read('tokenizer.json')!, read('tokenizer_config.json') ?? {});
  const template = chats ? ChatTemplate.fromConfig(tokenizer.config, 'the chat template') : undefined;
  const chat = template && { template, stopTokens };
  return new Sampling(engine, learner, tokenizer, { prompts, maxTokens }, chat, stopTokens);
}

export interface SampleSettings {
  readonly prompts: readonly string[];
  /** The most new tokens of each. */
  readonly maxTokens: number;
}

/**
 * Continues prompts greedily with the current weights, so that equal weights give equal texts. With a chat template,
 * each prompt is a user message.
 */
export class Sampling {
  readonly #decoder: CurrentDecoder;
  readonly #training: Learner;
  readonly #tokenizer: Tokenizer;
  readonly #settings: SampleSettings;
  readonly #chat: { readonly template: ChatTemplate; readonly stopTokens: readonly number[] } | undefined;
  readonly #stopTokens: readonly number[];

  constructor(
    engine: Engine,
    training: Learner,
    tokenizer: Tokenizer,
    settings: SampleSettings,
    chat: { readonly template: ChatTemplate; readonly stopTokens: readonly number[] } | undefined,
    stopTokens: readonly number[],
  ) {
    this.#decoder = new CurrentDecoder(engine, training);
    this.#training = training;
    this.#tokenizer = tokenizer;
    this.#settings = settings;
    this.#chat = chat;
    this.#stopTokens = stopTokens;
  }

  samples(): Promise<Sample[]> {
    return this.#decoder.use((decoder) => this.#samples(decoder));
  }

  async release(): Promise<void> {
    await this.#decoder.release();
  }

  async #samples(decoder: Decoder): Promise<Sample[]> {
    const training = this.#training;
    const tokenizer = this.#tokenizer;
    const chat = this.#chat;
    const settings = this.#settings;
    const samples: Sample[] = [];
    for (const prompt of settings.prompts) {
      const room = training.model.maxPositions - tokenizer.encode(prompt).length;
      const maxTokens = Math.max(1, Math.min(settings.maxTokens, room));
      const options = { maxTokens, greedy: true };
      const pieces = chat
        ? generateReply(
            { decoder, tokenizer, template: chat.template },
            [{ role: 'user', content: prompt }],
            {
              ...options,
              stopTokens: chatStopTokens(tokenizer, chat.template, chat.stopTokens),
            },
          )
        : generateText(decoder, tokenizer, prompt, { ...options, stopTokens: this.#stopTokens });
      let text = '';
      for await (const piece of pieces) text += piece;
      samples.push({ prompt, text });
    }
    return samples;
  }
}
