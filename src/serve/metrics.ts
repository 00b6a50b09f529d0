import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { CompletionJob } from './jobs.ts';

/** The contents of `/metrics`, in Prometheus's format. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = new Counter({
    name: 'ropewalk_requests_total',
    help: 'Requests by path and status.',
    labelNames: ['path', 'status'],
    registers: [this.#registry],
  });
  readonly #seconds = new Histogram({
    name: 'ropewalk_request_seconds',
    help: 'Time from a request to the end of its answer.',
    labelNames: ['path'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300],
    registers: [this.#registry],
  });
  readonly #firstToken = new Histogram({
    name: 'ropewalk_first_token_seconds',
    help: 'Time from a request to its first token.',
    labelNames: ['model'],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [this.#registry],
  });
  readonly #tokens = new Counter({
    name: 'ropewalk_tokens_total',
    help: 'Tokens: of prompts, of prompts from the cache, and new ones.',
    labelNames: ['model', 'kind'],
    registers: [this.#registry],
  });
  readonly #sequences = new Gauge({
    name: 'ropewalk_sequences',
    help: 'Running and waiting completions.',
    labelNames: ['model'],
    registers: [this.#registry],
  });
  readonly #refused = new Counter({
    name: 'ropewalk_refused_total',
    help: 'Requests refused because the queue was full.',
    labelNames: ['model'],
    registers: [this.#registry],
  });

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** @param path a known one: arbitrary names would create unlimited labels. */
  request(path: string, status: number, seconds: number): void {
    this.#requests.inc({ path, status });
    this.#seconds.observe({ path }, seconds);
  }

  refused(model: string): void {
    this.#refused.inc({ model });
  }

  sequences(model: string, count: number): void {
    this.#sequences.set({ model }, count);
  }

  firstToken(model: string, seconds: number): void {
    this.#firstToken.observe({ model }, seconds);
  }

  /** Called at the end of a job. */
  job(model: string, { usage }: Pick<CompletionJob, 'usage'>): void {
    this.#tokens.inc({ model, kind: 'prompt' }, usage.promptTokens);
    this.#tokens.inc({ model, kind: 'cached' }, usage.cachedTokens);
    this.#tokens.inc({ model, kind: 'new' }, usage.newTokens);
  }
}
