/*
 * The program of a web page: fetches a model directory and continues a sequence of ids, on onnxruntime-web.
 *
 *     npx esbuild examples/08-browser.ts --bundle --format=esm --outfile=page.js
 *
 * The page needs onnxruntime-web's files beside it (`wasmPaths`) and a model directory at `model/`.
 */
import * as ort from 'onnxruntime-web/wasm';
import { checkpoint, families, files, generation, type onnx, runtime } from 'ropewalk';

/** @returns the ids that greedy decoding adds to `prompt`. */
export async function generateInPage(
  folder: string,
  prompt: readonly number[],
  count: number,
): Promise<number[]> {
  ort.env.wasm.wasmPaths = '/ort/';
  const config = await (await fetch(`${folder}/config.json`)).json();
  const { model } = families.modelFromConfig(config, 'config.json');
  const bytes = await (await fetch(`${folder}/model.safetensors`)).arrayBuffer();
  const file = await checkpoint.openSafetensors(files.memorySource(bytes, 'model.safetensors'));
  const weights = new Map<string, onnx.WeightSource>();
  for (const path of model.parameters().keys()) weights.set(path, { data: await file.readFloat32(path) });
  const decoder = await generation.Decoder.create(runtime.webEngine(ort), model, weights);
  const cache = decoder.newCache();
  const ids: number[] = [];
  let logits = await decoder.forward(Int32Array.from(prompt), cache);
  while (ids.length < count) {
    const next = logits.reduce((best, value, id) => (value > logits[best]! ? id : best), 0);
    ids.push(next);
    logits = await decoder.forward([next], cache);
  }
  await decoder.release();
  return ids;
}

Object.assign(globalThis, { generateInPage });
