import { expect, describe as group, it } from 'vitest';
import { describe, limitsIn } from './webgpu-limits.node.ts';

const GIB = 2 ** 30;
const line = (type: number, name: string, ...heaps: { size: number; flags: number; budget?: number }[]) =>
  JSON.stringify({ type, name, heaps });

group('the limits of a WebGPU device', () => {
  it("are the numbers in the engine's messages", () => {
    // As ONNX Runtime 1.30 prints them.
    const messages = `.../webgpu_context.cc:207 Initialize device_result.status == wgpu::RequestDeviceStatus::Success was false. Failed to get a WebGPU device: Required limit (9223372036854775807) is greater than the supported limit (4294967292).
 - While validating maxStorageBufferBindingSize
 - While validating required limits

2026-11-26 [E:onnxruntime:limits, webgpu_context.cc:171 operator()] WebGPU device error(2): Buffer size (1152921504606846976) exceeds the max buffer size limit (4292870144).
 - While calling [Device].CreateBuffer([BufferDescriptor]).`;
    expect(limitsIn(messages)).toEqual({ bindingBytes: 4294967292, bufferBytes: 4292870144 });
    expect(limitsIn('Failed to get a WebGPU adapter: No supported adapters')).toEqual({});
  });

  it('name the device that the engine prefers, and the memory that it has to itself', () => {
    const printed = [
      line(4, 'llvmpipe', { size: 2 * GIB, flags: 1 }),
      line(1, 'a laptop', { size: 8 * GIB, flags: 1 }),
      line(
        2,
        'a card',
        { size: 32 * GIB, flags: 0, budget: 1 },
        { size: 16 * GIB, flags: 1, budget: 15 * GIB },
      ),
    ].join('\n');
    expect(describe(printed)).toEqual({
      ...{ kind: 'discrete', name: 'a card' },
      ...{ memoryBytes: 16 * GIB, availableBytes: 15 * GIB },
    });
  });

  it('are the least of those of several cards, which may be the one', () => {
    const card = (name: string, size: number) => line(2, name, { size, flags: 1 });
    expect(describe([card('a', 2 * GIB), card('a', GIB)].join('\n'))).toEqual({
      ...{ kind: 'discrete', name: 'a', memoryBytes: GIB, availableBytes: GIB },
    });
    expect(describe([card('a', 2 * GIB), card('b', GIB)].join('\n'))).toEqual({
      ...{ kind: 'discrete', memoryBytes: GIB, availableBytes: GIB },
    });
  });

  it('have no memory where it is that of this machine, or not known', () => {
    expect(describe(line(4, 'SwiftShader', { size: 2 * GIB, flags: 1 }))).toEqual({
      ...{ kind: 'software', name: 'SwiftShader' },
    });
    expect(describe(line(2, 'a card'))).toEqual({ kind: 'discrete', name: 'a card' });
    expect(describe('')).toEqual({});
  });
});
