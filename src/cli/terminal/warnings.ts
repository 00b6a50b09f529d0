import { Progress } from './progress.ts';

const shown = new Set<string>();

/** Shows a model's warnings on stderr, each sentence once per process. */
export function showWarnings(warnings: readonly string[], progress = new Progress()): void {
  for (const warning of warnings) {
    if (shown.has(warning)) continue;
    shown.add(warning);
    progress.note(`warning: ${warning}`);
  }
}
