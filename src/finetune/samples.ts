import { chatStopTokens } from '../chat/encode.ts';
import type { ChatTemplate } from '../chat/template.ts';
import { generateReply } from '../generation/chat.ts';
import { Decoder } from '../generation/decoder.ts';
import { generateText } from '../generation/generate-text.ts';
import type { Engine } from '../runtime/engine.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Learner } from '../training/learner.ts';
import type { Sample } from '../training/runs/events.ts';

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
  #decoder: Promise<Decoder> | undefined;

  readonly #engine: Engine;
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
    this.#engine = engine;
    this.#training = training;
    this.#tokenizer = tokenizer;
    this.#settings = settings;
    this.#chat = chat;
    this.#stopTokens = stopTokens;
  }

  async samples(): Promise<Sample[]> {
    const training = this.#training;
    const tokenizer = this.#tokenizer;
    const chat = this.#chat;
    const settings = this.#settings;
    this.#decoder ??= Decoder.borrowing(this.#engine, training.model, training.values());
    const decoder = await this.#decoder;
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

  async release(): Promise<void> {
    await (await this.#decoder)?.release();
  }
}
