import { describe, expect, it } from 'vitest';
import { checkDevice, isDevice, libraryDevice } from './devices.ts';

describe('a device', () => {
  it.each([
    ['openvino', { library: { name: 'openvino' }, which: undefined }],
    ['openvino:gpu', { library: { name: 'openvino' }, which: 'gpu' }],
    ['cuda:1', { library: { name: 'cuda' }, which: 1 }],
    ['./libprovider.so', { library: { path: './libprovider.so' }, which: undefined }],
    ['libprovider.so.1.8', { library: { path: 'libprovider.so.1.8' }, which: undefined }],
    ['libprovider.dylib:npu', { library: { path: 'libprovider.dylib' }, which: 'npu' }],
    ['C:\\providers\\provider.dll', { library: { path: 'C:\\providers\\provider.dll' }, which: undefined }],
    ['C:\\providers\\provider.dll:0', { library: { path: 'C:\\providers\\provider.dll' }, which: 0 }],
    ['/opt/a:b/provider', { library: { path: '/opt/a:b/provider' }, which: undefined }],
    ['cpu', undefined],
    ['webgpu', undefined],
  ])('%s is read', (name, expected) => {
    expect(libraryDevice(name)).toEqual(expected);
    expect(checkDevice(name)).toBe(name);
  });

  it.each(['gpu', 'CPU', 'cuda:', 'cuda:x', 'webgpu:1', 'cpu:0', '', 'openvino:gpu:1'])(
    '%j is refused',
    (name) => {
      expect(isDevice(name)).toBe(false);
      expect(() => checkDevice(name)).toThrow(
        /device must be cpu, webgpu, cuda, openvino or the path of a provider library, but is/,
      );
    },
  );
});
