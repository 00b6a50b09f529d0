import { describe, expect, it, vi } from 'vitest';
import { bindBuffers, type GpuDevice, openDeviceMemory, Turns } from './device-memory.web.ts';
import type { EngineSession, OnnxRuntime } from './engine.ts';

/** A device that keeps bytes on the host, and a record of what it was asked, in order. */
async function open(run: () => Promise<void> = async () => {}) {
  const asked: string[] = [];
  let lose = (_: { message: string }) => {};
  let room = true;
  let complain = (_: { error: Error }) => {};
  const device = {
    limits: { maxBufferSize: 4096, maxStorageBufferBindingSize: 2048 },
    lost: new Promise<{ message: string }>((resolve) => {
      lose = resolve;
    }),
    queue: {
      writeBuffer(buffer: { bytes: Uint8Array }, _: number, data: Uint8Array) {
        asked.push('write');
        buffer.bytes.set(data);
      },
      submit(copies: (() => void)[]) {
        asked.push('copy');
        for (const copy of copies) copy();
      },
    },
    createBuffer({ size }: { size: number }) {
      const bytes = new Uint8Array(size);
      const destroy = () => asked.push('destroy');
      return { bytes, mapAsync: async () => {}, getMappedRange: () => bytes.buffer, destroy };
    },
    createCommandEncoder() {
      let copy = () => {};
      type Buffer = { bytes: Uint8Array };
      return {
        copyBufferToBuffer(from: Buffer, _: number, to: Buffer, __: number, size: number) {
          copy = () => to.bytes.set(from.bytes.subarray(0, size));
        },
        finish: () => copy,
      };
    },
    addEventListener(_: string, listener: typeof complain) {
      complain = listener;
    },
    removeEventListener() {},
    pushErrorScope() {},
    popErrorScope: async () => (room ? null : { message: 'no room' }),
  };
  const fromGpuBuffer = (buffer: unknown, about: object) => ({ buffer, ...about });
  const runtime = { Tensor: { fromGpuBuffer } } as unknown as OnnxRuntime;
  const runs = vi.fn(async (..._: unknown[]) => {
    await run();
    asked.push('run');
    return {};
  });
  const session = { run: runs, release: async () => {} } as unknown as EngineSession;
  const memory = await openDeviceMemory(runtime, new Turns(), session, device as unknown as GpuDevice);
  const full = () => {
    room = false;
  };
  const refuse = (error: Error) => complain({ error });
  return { memory, session, asked, runs, lose: () => lose({ message: 'unplugged' }), full, refuse };
}

describe('the memory of the device that a browser computes on', () => {
  it('does everything in the order of the calls, with the values that were given', async () => {
    const { memory, session, asked, runs } = await open(() => new Promise((done) => setTimeout(done, 5)));
    const x = memory.allocate('float32', [3]);
    const y = memory.allocate('float32', [3]);
    const data = Float32Array.of(1, 2, 3);
    memory.write(x, data);
    data.fill(0);
    bindBuffers(session, { x }, { y }).run();
    memory.copy(x, y);
    const found = new Float32Array(3);
    await memory.download(memory.view(y, [1, 3]), found);
    expect(found).toEqual(Float32Array.of(1, 2, 3));
    expect(asked).toEqual(['write', 'run', 'copy', 'copy', 'destroy']);
    expect(runs.mock.calls[0]).toMatchObject([
      { x: { dataType: 'float32', dims: [3] } },
      { y: { dataType: 'float32', dims: [3] } },
    ]);
    expect(memory.traffic).toEqual({ written: 12, read: 12 });
    expect(memory.byteLength).toBe(24);
    memory.free(x);
    expect(memory.byteLength).toBe(12);
    expect(() => memory.copy(x, y)).toThrow('freed');
    expect(() => memory.read(y, found)).toThrow('download');
  });

  it('does nothing after a run has failed, and says why', async () => {
    const { memory, session, asked } = await open(async () => {
      throw new Error('no such kernel');
    });
    const x = memory.allocate('int32', [2]);
    bindBuffers(session, {}, { x }).run();
    memory.write(x, Int32Array.of(1, 2));
    await expect(memory.download(x, new Int32Array(2))).rejects.toThrow('no such kernel');
    expect(asked).not.toContain('write');
  });

  it('says that the device is lost, also while it computes', async () => {
    const { memory, session, lose } = await open(() => new Promise(() => {}));
    const x = memory.allocate('float32', [1]);
    bindBuffers(session, {}, { x }).run();
    const waiting = memory.download(x, new Float32Array(1));
    lose();
    await expect(waiting).rejects.toMatchObject({ problem: 'lost' });
    await memory.release();
  });

  it('notices what the device refuses without a call that says so', async () => {
    const { memory, refuse } = await open();
    const x = memory.allocate('float32', [1]);
    await memory.download(x, new Float32Array(1));
    refuse(new Error('[Invalid Buffer] is invalid.'));
    await expect(memory.download(x, new Float32Array(1))).rejects.toMatchObject({ problem: 'memory' });
  });

  it('says that there is no room', async () => {
    const { memory, full } = await open();
    expect(() => memory.allocate('float32', [513])).toThrow(
      /2052 bytes.* largest buffer of this device 2048/,
    );
    full();
    const x = memory.allocate('float32', [1]);
    await expect(memory.download(x, new Float32Array(1))).rejects.toMatchObject({ problem: 'memory' });
  });
});
