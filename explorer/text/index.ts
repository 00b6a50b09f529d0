import type { Locale } from '../../src/inspect/labels.ts';
import * as ablation from './ablation.ts';
import * as compare from './compare.ts';
import * as estimate from './estimate.ts';
import * as open from './open.ts';
import * as parts from './parts.ts';
import * as run from './run.ts';
import * as shell from './shell.ts';
import * as train from './train.ts';

const en = {
  shell: shell.en,
  run: run.en,
  compare: compare.en,
  parts: parts.en,
  train: train.en,
  ablation: ablation.en,
  estimate: estimate.en,
  open: open.en,
};

/** Every text of the page: what one language has, the compiler asks of the other. */
export type Dictionary = typeof en;

const ko: Dictionary = {
  shell: shell.ko,
  run: run.ko,
  compare: compare.ko,
  parts: parts.ko,
  train: train.ko,
  ablation: ablation.ko,
  estimate: estimate.ko,
  open: open.ko,
};

export const dictionaries: Readonly<Record<Locale, Dictionary>> = { en, ko };
