import { fileURLToPath } from 'node:url';

/** Where a file or folder of `test/fixtures` lies; its README says what each is. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
}
