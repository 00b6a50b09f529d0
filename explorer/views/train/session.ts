import { useEffect, useState } from 'preact/hooks';
import type { Failure } from '../../worker/failure.ts';
import type {
  SavedFile,
  TrainDevice,
  TrainMessage,
  TrainPhase,
  TrainRequest,
  TrainSettings,
} from '../../worker/train-protocol.ts';

/** What one model's training has come to. */
export interface ModelProgress {
  readonly name: string;
  readonly step: number;
  readonly tokensPerSecond: number;
  /** Loss of each step. */
  readonly losses: readonly number[];
  readonly evaluations: readonly { readonly step: number; readonly loss: number }[];
  readonly sample: { readonly step: number; readonly text: string } | undefined;
}

export interface TrainingState {
  readonly settings: TrainSettings;
  readonly phase: TrainPhase;
  readonly corpus:
    | { readonly tokens: number; readonly vocabSize: number; readonly bigram: number }
    | undefined;
  readonly models: readonly ModelProgress[];
  /** Undefined until the first step. */
  readonly device: TrainDevice | undefined;
  readonly error: Failure | undefined;
}

/** The training of this page, which goes on while other views are shown. There is one at a time. */
class TrainingSession {
  #worker: Worker | undefined;
  #state: TrainingState | undefined;
  readonly #watchers = new Set<() => void>();
  readonly #waiting = new Map<number, (files: readonly SavedFile[]) => void>();

  get state(): TrainingState | undefined {
    return this.#state;
  }

  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Ends what is running, and begins. */
  start(settings: TrainSettings): void {
    this.#worker?.terminate();
    this.#waiting.clear();
    const worker = new Worker(new URL('../../worker/train-worker.ts', import.meta.url), { type: 'module' });
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<TrainMessage>) => this.#hear(data);
    worker.onerror = (event) => this.#hear({ type: 'failed', message: event.message, kind: 'unexpected' });
    const fresh = { step: 0, tokensPerSecond: 0, losses: [], evaluations: [], sample: undefined };
    this.#change({
      ...{ settings, phase: 'tokenizer', corpus: undefined, device: undefined, error: undefined },
      models: settings.models.map((name) => ({ name, ...fresh })),
    });
    this.#send({ type: 'start', settings });
  }

  pause(): void {
    this.#send({ type: 'pause' });
  }

  go(): void {
    this.#send({ type: 'go' });
  }

  /** The files of a Hugging Face directory, with the weights as they are now. */
  save(model: number): Promise<readonly SavedFile[]> {
    return new Promise((resolve) => {
      this.#waiting.set(model, resolve);
      this.#send({ type: 'save', model });
    });
  }

  #send(request: TrainRequest): void {
    this.#worker?.postMessage(request);
  }

  #hear(message: TrainMessage): void {
    const state = this.#state!;
    switch (message.type) {
      case 'phase':
        this.#change({ ...state, phase: message.phase });
        break;
      case 'corpus':
        this.#change({ ...state, corpus: message });
        break;
      case 'device':
        this.#change({ ...state, device: message.device });
        break;
      case 'rewind':
        this.#model(message.model, (before) => ({
          ...before,
          step: message.step,
          losses: before.losses.slice(0, message.step),
          evaluations: before.evaluations.filter(({ step }) => step <= message.step),
        }));
        break;
      case 'failed':
        this.#change({ ...state, phase: 'done', error: message });
        break;
      case 'saved':
        this.#waiting.get(message.model)?.(message.files);
        this.#waiting.delete(message.model);
        break;
      case 'losses':
        this.#model(message.model, (before) => {
          const losses = [...before.losses, ...message.losses];
          const tokensPerSecond = message.tokensPerSecond || before.tokensPerSecond;
          return { ...before, losses, step: losses.length, tokensPerSecond };
        });
        break;
      case 'evaluation':
        this.#model(message.model, (before) => ({
          ...before,
          evaluations: [...before.evaluations, { step: message.step, loss: message.loss }],
        }));
        break;
      case 'sample':
        this.#model(message.model, (before) => ({ ...before, sample: message }));
        break;
    }
  }

  #model(index: number, change: (before: ModelProgress) => ModelProgress): void {
    const state = this.#state!;
    this.#change({ ...state, models: state.models.map((each, i) => (i === index ? change(each) : each)) });
  }

  #change(state: TrainingState): void {
    this.#state = state;
    for (const watcher of this.#watchers) watcher();
  }
}

export const session = new TrainingSession();

export function useTraining(): TrainingState | undefined {
  const [state, setState] = useState(session.state);
  useEffect(() => session.watch(() => setState(session.state)), []);
  return state;
}
