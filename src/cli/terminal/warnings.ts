import { Progress } from './progress.ts';

const shown = new Set<string>();

/** Shows on stderr what a model's files say that is not so, or not done; each sentence once in a process. */
export function showWarnings(warnings: readonly string[], progress = new Progress()): void {
  for (const warning of warnings) {
    if (shown.has(warning)) continue;
    shown.add(warning);
    progress.note(`warning: ${warning}`);
  }
}
