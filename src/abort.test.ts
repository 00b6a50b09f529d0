import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { onAbort } from './abort.ts';

describe('onAbort', () => {
  it('calls every pending callback once, through a single listener on the signal', () => {
    const controller = new AbortController();
    const { signal } = controller;
    const called: number[] = [];
    const ends = Array.from({ length: 20 }, (_, i) => onAbort(signal, () => called.push(i)));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    for (const end of ends.slice(3)) end();
    controller.abort();
    controller.abort();
    expect(called).toEqual([0, 1, 2]);
  });

  it('removes its listener once no callback is pending, and accepts new callbacks after that', () => {
    const controller = new AbortController();
    const { signal } = controller;
    const end = onAbort(signal, () => {});
    end();
    end();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    let calls = 0;
    const count = () => {
      calls++;
    };
    onAbort(signal, count);
    onAbort(signal, count)();
    end();
    controller.abort();
    expect(calls).toBe(1);
  });

  it('lets a callback cancel another', () => {
    const controller = new AbortController();
    let calls = 0;
    onAbort(controller.signal, () => second());
    const second = onAbort(controller.signal, () => calls++);
    controller.abort();
    expect(calls).toBe(0);
  });

  it('does nothing without a signal', () => {
    expect(() => onAbort(undefined, () => {})()).not.toThrow();
  });
});
