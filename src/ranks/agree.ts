import { RopewalkError } from '../errors.ts';
import type { Communicator } from './communicator.ts';

/**
 * Checks that all ranks have the same of something.
 *
 * @param fields plain JSON by name.
 * @throws RopewalkError on every rank, naming a rank that differs, the field and both values.
 */
export async function agree(ranks: Communicator, fields: Readonly<Record<string, unknown>>): Promise<void> {
  const texts = await ranks.gather(JSON.stringify(fields));
  const first = JSON.parse(texts[0]!) as Record<string, unknown>;
  for (const [rank, text] of texts.entries()) {
    if (text === texts[0]) continue;
    const other = JSON.parse(text) as Record<string, unknown>;
    const names = [...new Set([...Object.keys(first), ...Object.keys(other)])];
    const name = names.find((each) => JSON.stringify(first[each]) !== JSON.stringify(other[each]));
    if (name === undefined) continue;
    throw new RopewalkError(
      `the ranks differ: "${name}" is ${shown(first[name])} on rank 0, but ${shown(other[name])} on rank ${rank}. Give every rank the same command, files and version.`,
    );
  }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length <= 80 ? text : `${text.slice(0, 76)} …`;
}
