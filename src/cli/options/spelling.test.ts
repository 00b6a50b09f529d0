import { Command } from 'commander';
import { expect, it } from 'vitest';
import { messageText, option, said } from '../../errors.ts';
import { asFlag, speakAs } from './spelling.ts';

it('an error message on the command line spells options by the flags that the running command declares', () => {
  const command = new Command('train')
    .option('--max-tokens <n>')
    .option('--memory <mode>')
    .option('--resume')
    .option('--no-pack')
    .option('--column <what=name>')
    .option('--special-tokens <as>');
  speakAs(command);
  const text = (...parts: Parameters<typeof option>) => messageText(said`${option(...parts)}`, asFlag);
  expect(text('maxTokens')).toBe('--max-tokens');
  expect(text('memory', 'light')).toBe('--memory light');
  expect(text('maxTokens', 3)).toBe('--max-tokens 3');
  expect(text('resume', true)).toBe('--resume');
  expect(text('pack', false)).toBe('--no-pack');
  expect(text('specialTokensInText', false)).toBe('--special-tokens text');
  expect(text('columns', { prompt: 'Q', completion: 'A' })).toBe('--column prompt=Q --column completion=A');
  // An option of the library alone.
  expect(text('signal')).toBe('signal');
  expect(text('dtype', 'float16')).toBe("dtype: 'float16'");
});
