import type { Locale } from '../../src/inspect/labels.ts';
import * as run from './run.ts';
import * as shell from './shell.ts';

/** Every text of the page: what one language has, the compiler asks of the other. */
const en = { shell: shell.en, run: run.en };
export type Dictionary = typeof en;
const ko: Dictionary = { shell: shell.ko, run: run.ko };

export const dictionaries: Readonly<Record<Locale, Dictionary>> = { en, ko };
