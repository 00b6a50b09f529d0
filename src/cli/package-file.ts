import { readFileSync } from 'node:fs';

/** Ropewalk's package.json, two folders up: this file must stay directly in `cli`. */
export const PACKAGE_FILE = new URL('../../package.json', import.meta.url);

export function packageVersion(): string {
  return (JSON.parse(readFileSync(PACKAGE_FILE, 'utf8')) as { version: string }).version;
}
