/*
 * A page that continues a text with the visitor's own model: only index.html and this file. In a folder with both:
 *
 *     npm install ropewalk onnxruntime-web vite
 *     npx vite
 */
import * as ort from 'onnxruntime-web/wasm';
import {
  checkpoint,
  families,
  files,
  generation,
  LocalModel,
  type onnx,
  runtime,
  tokenizer,
} from 'ropewalk/core';

const form = document.querySelector('form')!;
const button = document.querySelector('button')!;
const status = document.querySelector('[role=status]')!;
const output = document.querySelector('output')!;

/** Opens a Hugging Face directory with a single weight file. */
async function openModel(chosen: Iterable<File>): Promise<LocalModel> {
  const byName = new Map([...chosen].map((file) => [file.name, file]));
  const given = (name: string) => {
    const file = byName.get(name);
    if (!file) throw new Error(`the folder has no ${name}`);
    return file;
  };
  const json = async (name: string) => JSON.parse(await given(name).text());
  const { family, config, model } = families.modelFromConfig(await json('config.json'), 'config.json');
  const text = tokenizer.Tokenizer.fromJSON(
    await json('tokenizer.json'),
    await json('tokenizer_config.json'),
  );
  const bytes = await given('model.safetensors').arrayBuffer();
  const file = await checkpoint.openSafetensors(files.memorySource(bytes, 'model.safetensors'));
  const weights = new Map<string, onnx.WeightSource>();
  for (const path of model.parameters().keys()) weights.set(path, { data: await file.readFloat32(path) });
  const decoder = await generation.Decoder.create(runtime.webEngine(ort), model, weights);
  return new LocalModel({ name: 'model', family, decoder, tokenizer: text, stopTokens: config.eos_token_id });
}

let model: LocalModel | undefined;

/** Runs something that may fail, and reports the result. */
async function attempt(doing: string, work: () => Promise<string>): Promise<void> {
  button.disabled = true;
  status.textContent = doing;
  try {
    status.textContent = await work();
  } catch (error) {
    status.textContent = error instanceof Error ? error.message : String(error);
  } finally {
    button.disabled = model === undefined;
  }
}

const picker = document.querySelector('input')!;
picker.addEventListener('change', () => {
  void attempt('Opening …', async () => {
    await model?.release();
    model = undefined;
    model = await openModel(picker.files ?? []);
    return `${model.family.title}, ${model.model.parameterCount()} parameters`;
  });
});

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const prompt = new FormData(form).get('prompt') as string;
  void attempt('Writing …', async () => {
    output.textContent = prompt;
    for await (const piece of model!.generate(prompt, { maxTokens: 40, temperature: 0.8, seed: 1 })) {
      output.textContent += piece;
    }
    return 'Done.';
  });
});
