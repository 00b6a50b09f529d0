import type { JobResults } from './data.ts';
import { html } from './html.ts';

export function buildReport(results: JobResults): string {
  return html`<!doctype html><html lang="en"><body><pre>${JSON.stringify(results, null, 1)}</pre></body></html>`
    .markup;
}
