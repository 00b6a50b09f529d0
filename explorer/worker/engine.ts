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

let loading: Promise<Engine> | undefined;

/** ONNX Runtime's WebAssembly build, with two threads where the page may have any. */
export function wasmEngine(): Promise<Engine> {
  loading ??= (async () => {
    const folder = siteUrl(`${ENGINE_FOLDER}/`);
    // Not bundled: it is loaded beside the page's own program, and from where its WebAssembly lies.
    const ort = (await import(/* @vite-ignore */ new URL('ort.wasm.min.mjs', folder).href)) as LoadedRuntime;
    ort.env.wasm.wasmPaths = folder.href;
    const isolated = globalThis.crossOriginIsolated === true && typeof SharedArrayBuffer !== 'undefined';
    return webEngine(ort, { threads: isolated ? Math.min(2, navigator.hardwareConcurrency || 1) : 1 });
  })();
  return loading;
}
