import { Option } from 'commander';
import type { Locale } from '../../inspect/labels.ts';

/** Korean if the environment requests it, else English. */
export function localeOf(environment: NodeJS.ProcessEnv): Locale {
  // The first one that is set decides, as in POSIX.
  const wanted = [environment.LC_ALL, environment.LC_MESSAGES, environment.LANG].find((value) => value);
  return wanted?.toLowerCase().startsWith('ko') ? 'ko' : 'en';
}

export function localeOption(): Option {
  return new Option('--locale <language>', 'language of the output; default from the environment')
    .choices(['en', 'ko'])
    .default(localeOf(process.env), 'LC_ALL, LANG');
}
