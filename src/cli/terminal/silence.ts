/** Whether this process prints: when several train together, only the first one does. Errors are always printed. */
let isSilent = false;

export function silence(): void {
  isSilent = true;
}

export function prints(): boolean {
  return !isSilent;
}

/** Prints a result to stdout. */
export function printResult(text: string): void {
  if (!isSilent) process.stdout.write(text);
}
