import type { Command } from 'commander';
import type { NamedOption, OptionValue } from '../../errors.ts';

/** Options whose flag takes other values, or has another name, than the library's. */
const OTHERWISE: Readonly<Record<string, (value: OptionValue | undefined) => NamedOption>> = {
  specialTokensInText: (value) => ({
    option: 'specialTokens',
    ...(value !== undefined && { value: value ? 'special' : 'text' }),
  }),
  resume: () => ({ option: 'resume' }),
  columns: (value) => ({ option: 'column', ...(value !== undefined && { value }) }),
};

let running: Command | undefined;

/** Says which command runs: messages of the library name options, and this command knows their flags. */
export function speakAs(command: Command): void {
  running = command;
}

/**
 * How an option that a message of the library names is typed: `maxTokens` is `--max-tokens`, by what the running command
 * declares. One that the command does not have keeps the library's spelling.
 */
export function asFlag(named: NamedOption, usual: string): string {
  const { option, value } = OTHERWISE[named.option]?.(named.value) ?? named;
  const negated = value === false;
  const flag = running?.options.find((one) => one.attributeName() === option && one.negate === negated)?.long;
  if (!flag) return usual;
  if (value === undefined || typeof value === 'boolean') return flag;
  if (typeof value !== 'object') return `${flag} ${value}`;
  return Object.entries(value)
    .map(([field, each]) => `${flag} ${field}=${each}`)
    .join(' ');
}
