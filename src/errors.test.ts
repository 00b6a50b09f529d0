import { describe, expect, it } from 'vitest';
import { messageText, option, RopewalkError, said } from './errors.ts';
import { packError, unpackError } from './generation/worker/model-protocol.ts';

const error = new RopewalkError(
  said`${option('memory', 'light')} allows ${1} batch, but ${option('accumulate')} is 4 (${option('resume', true)}).`,
);

describe('an error message that names options', () => {
  it('spells them as programs write them', () => {
    expect(error.message).toBe("memory: 'light' allows 1 batch, but accumulate is 4 (resume: true).");
    expect(error.options).toEqual(['memory', 'accumulate', 'resume']);
    const fields = said`say which, by ${option('columns', { prompt: 'Q', completion: 'A' })}`;
    expect(messageText(fields)).toBe("say which, by columns: { prompt: 'Q', completion: 'A' }");
  });

  it('respells them for callers that spell options differently', () => {
    const shout = ({ option: name }: { option: string }) => name.toUpperCase();
    expect(messageText(error.parts, shout)).toBe('MEMORY allows 1 batch, but ACCUMULATE is 4 (RESUME).');
  });

  it('keeps them when it is nested in another message or passed between threads', () => {
    const outer = new RopewalkError(said`model: ${error}`);
    expect(outer.message).toBe(`model: ${error.message}`);
    expect(outer.options).toEqual(error.options);
    const arrived = unpackError(structuredClone(packError(outer)));
    expect(arrived).toBeInstanceOf(RopewalkError);
    expect((arrived as RopewalkError).parts).toEqual(outer.parts);
    expect(new RopewalkError('plain').options).toEqual([]);
  });
});
