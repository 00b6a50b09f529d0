import { RopewalkError } from '../../src/errors.ts';
import { TEXT_FILE } from '../../src/explore/site.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { siteUrl } from './engine.ts';
import { failureOf } from './failure.ts';
import { beginRun, continueOnWasm } from './train-device.ts';
import type { TrainMessage, TrainRequest, TrainSettings } from './train-protocol.ts';
import { type KeptTraining, PageTraining, prepareText } from './training.ts';

/** The thread that trains: models take turns, step by step, and between two steps it hears what the page wants. */

/** How often the page hears of new losses, and of a new sample. */
const REPORT_MS = 200;
const SAMPLE_MS = 5000;

const say = (message: TrainMessage) =>
  (self as unknown as { postMessage(message: TrainMessage): void }).postMessage(message);

let trainings: readonly PageTraining[] = [];
let paused = false;
let wake = () => {};

async function run({ models, text, steps, device: wanted }: TrainSettings): Promise<void> {
  const corpus = await prepareText(text ?? (await builtInText()), (phase) => say({ type: 'phase', phase }));
  const { training, validation, tokenizer, bigram } = corpus;
  say({
    ...{ type: 'corpus', tokens: training.length + validation.length },
    ...{ vocabSize: tokenizer.vocabSize, bigram },
  });
  say({ type: 'phase', phase: 'compiling' });
  const begin = async (engine: Engine, from: readonly KeptTraining[] = []) => {
    const made: PageTraining[] = [];
    for (const [i, name] of models.entries())
      made.push(await PageTraining.create(engine, name, corpus, steps, from[i]));
    return made;
  };
  let begun = await beginRun(wanted, begin);
  for (;;) {
    trainings = begun.trainings;
    say({ type: 'device', device: begun.device });
    try {
      say({ type: 'phase', phase: 'training' });
      await trainAll(steps);
      break;
    } catch (error) {
      const kept = trainings.map((each) => each.kept);
      say({ type: 'phase', phase: 'compiling' });
      const other = await continueOnWasm(begun, error, (engine) => begin(engine, kept));
      if (!other) throw error;
      begun = other;
      for (const [model, { step }] of kept.entries()) say({ type: 'rewind', model, step });
    }
  }
  say({ type: 'phase', phase: 'done' });
}

async function trainAll(steps: number): Promise<void> {
  const runs = trainings.map((each, model) => follow(each, model));
  for (let working = true; working; ) {
    working = false;
    for (const each of runs) working = !(await each.next()).done || working;
    await turn();
  }
  for (const [model, each] of trainings.entries()) {
    await each.keep();
    say({ type: 'sample', model, step: steps, text: await each.sample(steps) });
  }
}

/** One model's training; every step is a turn. */
async function* follow(training: PageTraining, model: number): AsyncGenerator<undefined, void> {
  let losses: number[] = [];
  let reported = 0;
  let sampled = performance.now();
  for await (const event of training.trainer.run()) {
    if (event.type === 'evaluation') {
      say({ type: 'evaluation', model, step: event.step, loss: event.loss });
      await training.keep();
    }
    if (event.type !== 'step') continue;
    const { step, tokensPerSecond } = event;
    losses.push(event.loss);
    const now = performance.now();
    if (now - reported > REPORT_MS) {
      say({ type: 'losses', model, step, losses, tokensPerSecond });
      losses = [];
      reported = now;
    }
    if (now - sampled > SAMPLE_MS) {
      await training.keep();
      say({ type: 'sample', model, step, text: await training.sample(step) });
      sampled = performance.now();
    }
    yield;
  }
  if (losses.length > 0) say({ type: 'losses', model, step: -1, losses, tokensPerSecond: 0 });
}

/** Lets messages in; where one says so, waits until another says to go on. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
  if (!paused) return;
  // A device may be gone when the reader comes back.
  for (const each of trainings) await each.keep();
  say({ type: 'phase', phase: 'paused' });
  await new Promise<void>((resolve) => {
    wake = resolve;
  });
  say({ type: 'phase', phase: 'training' });
}

async function builtInText(): Promise<string> {
  const response = await fetch(siteUrl(TEXT_FILE));
  if (!response.ok)
    throw new RopewalkError(`${TEXT_FILE} cannot be fetched: the server says ${response.status}.`);
  return response.text();
}

async function answer(request: TrainRequest): Promise<void> {
  if (request.type === 'start') await run(request.settings);
  if (request.type === 'pause') paused = true;
  if (request.type === 'go') {
    paused = false;
    wake();
  }
  if (request.type === 'save') {
    say({ type: 'saved', model: request.model, files: await trainings[request.model]!.save() });
  }
}

self.onmessage = async ({ data }: MessageEvent<TrainRequest>) => {
  try {
    await answer(data);
  } catch (error) {
    say({ type: 'failed', ...failureOf(error) });
  }
};
