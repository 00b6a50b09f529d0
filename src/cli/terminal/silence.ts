/** Whether this process prints: of several that train together, the first one does. Errors are always printed. */
let isSilent = false;

export function silence(): void {
  isSilent = true;
}

export function prints(): boolean {
  return !isSilent;
}

/** A result, on stdout. */
export function printResult(text: string): void {
  if (!isSilent) process.stdout.write(text);
}
