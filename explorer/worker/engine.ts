import { ENGINE_FOLDER } from '../../src/explore/site.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { type OnnxRuntimeWeb, webEngine } from '../../src/runtime/engine.web.ts';

/** The site's root, from a script in its `assets` folder. */
const root = new URL(/* @vite-ignore */ '../', import.meta.url);

/** The address of a file of the site. */
export function siteUrl(path: string): URL {
  return new URL(path, root);
}

type LoadedRuntime = OnnxRuntimeWeb & { readonly env: { readonly wasm: { wasmPaths?: string } } };

/** Not bundled: it is loaded beside the page's own program, and from where its WebAssembly lies. */
async function loadRuntime(name: string): Promise<LoadedRuntime> {
  const folder = siteUrl(`${ENGINE_FOLDER}/`);
  const ort = (await import(/* @vite-ignore */ new URL(name, folder).href)) as LoadedRuntime;
  ort.env.wasm.wasmPaths = folder.href;
  return ort;
}

/** Threads of WebAssembly: more than one only where the page is isolated, and so has shared memory. */
export function wasmThreads(): number {
  const isolated = globalThis.crossOriginIsolated === true && typeof SharedArrayBuffer !== 'undefined';
  return isolated ? Math.min(2, navigator.hardwareConcurrency || 1) : 1;
}

let wasm: Promise<Engine> | undefined;

/** ONNX Runtime's WebAssembly build. */
export function wasmEngine(): Promise<Engine> {
  wasm ??= loadRuntime('ort.wasm.min.mjs').then((ort) => webEngine(ort, { threads: wasmThreads() }));
  return wasm;
}

/** What the browser offers; TypeScript's own description of browsers has no WebGPU. */
interface NavigatorGpu {
  readonly gpu?: { requestAdapter(): Promise<GpuAdapter | null> };
}

interface GpuAdapter {
  readonly info?: {
    readonly vendor?: string;
    readonly architecture?: string;
    readonly description?: string;
    readonly isFallbackAdapter?: boolean;
  };
}

export interface FoundAdapter {
  /** Whether it computes on the processor. */
  readonly isSoftware: boolean;
}

/** The adapter of the browser's WebGPU; undefined where it has none. */
export async function findAdapter(): Promise<FoundAdapter | undefined> {
  const adapter = await (navigator as NavigatorGpu).gpu?.requestAdapter().catch(() => null);
  if (!adapter) return undefined;
  const { vendor, architecture, description, isFallbackAdapter = false } = adapter.info ?? {};
  const names = [vendor, architecture, description].join(' ');
  return { isSoftware: isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(names) };
}

let webgpu: Promise<Engine | undefined> | undefined;

/** ONNX Runtime's WebGPU build; undefined where the browser has no WebGPU, or no adapter for it. */
export function webgpuEngine(): Promise<Engine | undefined> {
  webgpu ??= (async () => {
    if (!(await findAdapter())) return undefined;
    return webEngine(await loadRuntime('ort.webgpu.min.mjs'), { provider: 'webgpu', threads: 1 });
  })();
  return webgpu;
}
