import { describe, expect, it, vi } from 'vitest';
import { createSessions, type OnnxRuntime } from './engine.ts';
import { webEngine } from './engine.web.ts';

/** What a page would pass, with sessions that are never run. */
function fakeOrt() {
  const create = vi.fn(async () => ({}));
  const runtime = { InferenceSession: { create }, Tensor: class {} } as unknown as OnnxRuntime;
  return { create, ort: { ...runtime, env: { wasm: {} as { numThreads?: number } } } };
}

const model = { bytes: new Uint8Array(0), provided: [] };

describe('webEngine', () => {
  it('runs on WebAssembly unless told otherwise', async () => {
    const { ort, create } = fakeOrt();
    await createSessions(webEngine(ort), [model], {});
    await createSessions(webEngine(ort, { provider: 'webgpu' }), [model], {});
    expect(create.mock.calls.map((call) => (call as unknown[])[1])).toMatchObject([
      { executionProviders: ['wasm'] },
      { executionProviders: ['webgpu'] },
    ]);
    expect(ort.env.wasm.numThreads).toBeUndefined();
  });

  it('sets the number of threads for the page, and refuses another for a single session', async () => {
    const { ort } = fakeOrt();
    const engine = webEngine(ort, { threads: 2 });
    expect(ort.env.wasm.numThreads).toBe(2);
    await createSessions(engine, [model], { threads: 2 });
    await expect(createSessions(engine, [model], { threads: 3 })).rejects.toThrow(
      'webEngine(ort, { threads: 3 })',
    );
  });

  it('refuses options that browsers do not have', async () => {
    const engine = webEngine(fakeOrt().ort);
    await expect(createSessions(engine, [model], { weightsFolder: '/weights' })).rejects.toThrow('no folder');
    await expect(createSessions(engine, [model], { profile: 'run' })).rejects.toThrow('no file');
    expect(() => webEngine(fakeOrt().ort, { precision: 'float16' } as object)).toThrow('computes in float32');
  });
});
