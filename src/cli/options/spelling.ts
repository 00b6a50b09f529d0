import type { Command } from 'commander';
import type { NamedOption, OptionValue } from '../../errors.ts';

/** Options whose flag has other values, or another name, than in the library. */
const OTHERWISE: Readonly<Record<string, (value: OptionValue | undefined) => NamedOption>> = {
  specialTokensInText: (value) => ({
    option: 'specialTokens',
    ...(value !== undefined && { value: value ? 'special' : 'text' }),
  }),
  resume: () => ({ option: 'resume' }),
  columns: (value) => ({ option: 'column', ...(value !== undefined && { value }) }),
};

let running: Command | undefined;

/** Sets the running command: the library's messages name options, and the command knows their flags. */
export function speakAs(command: Command): void {
  running = command;
}

/**
 * The flag for an option that a library message names: `maxTokens` is `--max-tokens`, as declared by the running
 * command. An option that the command lacks keeps the library's spelling.
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
