import { readAblation } from '../../src/ablate/result.ts';
import { RopewalkError } from '../../src/errors.ts';
import { estimate } from '../../src/estimate/estimate.ts';
import { SITE_INDEX, type SiteIndex } from '../../src/explore/site.ts';
import { modelFromConfig } from '../../src/families/registry.ts';
import { namedPreset } from '../../src/inspect/named-model.ts';
import { giveUpWebgpu } from './choose-engine.ts';
import { siteUrl } from './engine.ts';
import { failureOf } from './failure.ts';
import { MAX_WEIGHT_BYTES, type OpenModel, openModel, weightBytes } from './open-model.ts';
import type {
  EstimateRequest,
  GivenFile,
  GivenModel,
  ModelsApi,
  Reply,
  Request,
  TapsFound,
} from './protocol.ts';
import { encodeText, runPadded, runText, shownToken } from './run-text.ts';

/** The thread that holds the models and runs them. */

/** Models that are kept open; another takes the place of the one that was used longest ago. */
const KEPT = 4;

const opened = new Map<string, Promise<OpenModel>>();
let index: Promise<SiteIndex> | undefined;

async function fetchFile(path: string): Promise<Response> {
  const response = await fetch(siteUrl(path)).catch((error: unknown) => {
    throw new RopewalkError(`${path} cannot be fetched (${String(error)}); is the server still running?`);
  });
  if (!response.ok) throw new RopewalkError(`${path} cannot be fetched: the server says ${response.status}.`);
  return response;
}

function listSite(): Promise<SiteIndex> {
  index ??= (async () => (await (await fetchFile(SITE_INDEX)).json()) as SiteIndex)();
  // A server that was gone is asked again.
  index.catch(() => {
    index = undefined;
  });
  return index;
}

async function siteAblation(id: string) {
  if (!(await listSite()).ablations.some((ablation) => ablation.id === id)) {
    throw new RopewalkError(`there is no ablation "${id}" here; choose one of the list.`);
  }
  const path = `ablations/${id}.json`;
  return readAblation(await (await fetchFile(path)).text(), path);
}

/** More than any ablation has. */
const MAX_ABLATION_BYTES = 64 * 2 ** 20;

async function givenAblation({ name, data }: GivenFile) {
  if (data.size > MAX_ABLATION_BYTES) throw new RopewalkError(`${name} is too large for an ablation.`);
  return readAblation(await data.text(), name);
}

function keep(id: string, opening: Promise<OpenModel>): Promise<OpenModel> {
  opened.delete(id);
  opened.set(id, opening);
  // One that does not open is tried again the next time.
  opening.catch(() => opened.delete(id));
  opening.then(closeOldest, () => {});
  return opening;
}

/** Closes models until those that are left are few and fit together. */
async function closeOldest(): Promise<void> {
  const open: { readonly id: string; readonly model: OpenModel }[] = [];
  for (const [id, opening] of [...opened]) {
    const model = await opening.catch(() => undefined);
    if (model) open.push({ id, model });
  }
  let bytes = open.reduce((sum, { model }) => sum + weightBytes(model), 0);
  for (const [i, { id, model }] of open.entries()) {
    const left = open.length - i;
    if (left === 1 || (left <= KEPT && bytes <= MAX_WEIGHT_BYTES)) return;
    opened.delete(id);
    bytes -= weightBytes(model);
    await model.release();
  }
}

async function openNamed(id: string): Promise<OpenModel> {
  const files = given.get(id);
  if (files) return openGiven(id, files);
  const entry = (await listSite()).models.find((model) => model.id === id);
  if (!entry) throw new RopewalkError(`there is no model "${id}" here; choose one of the list.`);
  const fetched: GivenFile[] = [];
  for (const name of entry.files) {
    fetched.push({ name, data: await (await fetchFile(`models/${id}/${name}`)).blob() });
  }
  return openModel(fetched, id, entry.name);
}

function modelOf(id: string): Promise<OpenModel> {
  return keep(id, opened.get(id) ?? openNamed(id));
}

/** The files of the reader's models: one that is closed can be opened again. */
const given = new Map<string, readonly GivenFile[]>();

function openGiven(id: string, files: readonly GivenFile[]): Promise<OpenModel> {
  const folder = files[0]?.name.includes('/') ? files[0].name.split('/')[0] : undefined;
  const named = files.map(({ name, data }) => ({ name: name.split('/').at(-1)!, data }));
  const gguf = named.find(({ name }) => /\.gguf$/i.test(name));
  return openModel(named, id, folder ?? gguf?.name ?? 'model');
}

async function openFiles({ id, files }: GivenModel): Promise<OpenModel> {
  const model = await keep(id, openGiven(id, files));
  given.set(id, files);
  return model;
}

/** Computes on a model; on WebAssembly from now on where WebGPU fails. */
async function onModel<T>(id: string, compute: (model: OpenModel) => Promise<T>): Promise<T> {
  const model = await modelOf(id);
  try {
    return await compute(model);
  } catch (error) {
    if (model.info.engine.kind === 'wasm' || error instanceof RopewalkError) throw error;
    giveUpWebgpu(failureOf(error).message);
    opened.clear();
    return compute(await modelOf(id));
  }
}

function estimateModel({ preset = '', config, ...options }: EstimateRequest) {
  const built = config ? modelFromConfig(config, 'config.json') : namedPreset(preset);
  if (!built) throw new RopewalkError(`there is no model "${preset}"; choose one of the list.`);
  const { maxPositions } = built.model;
  const context = Math.min(options.context, maxPositions);
  return estimate(built, { ...options, context, seq: Math.min(options.seq ?? 512, maxPositions) });
}

const api: { [M in keyof ModelsApi]: (argument: never) => Promise<ReturnType<ModelsApi[M]>> } = {
  listSite,
  ablation: siteAblation,
  openAblation: givenAblation,
  open: async (id: string) => (await modelOf(id)).info,
  openFiles: async (request: GivenModel) => (await openFiles(request)).info,
  remember: async ({ id, files }: GivenModel) => void given.set(id, files),
  run: (request: Parameters<ModelsApi['run']>[0]) =>
    onModel(request.model, (model) => runText(model, request)),
  tap: ({ model, text, taps }: Parameters<ModelsApi['tap']>[0]) =>
    onModel(model, async (open): Promise<TapsFound> => {
      const { ids, tokens } = encodeText(open, text);
      const { values } = await runPadded(open, ids, taps);
      return { tokens, values };
    }),
  tokenTexts: async ({ model, ids }: Parameters<ModelsApi['tokenTexts']>[0]) => {
    const open = await modelOf(model);
    return ids.map((id) => shownToken(open, id).text);
  },
  estimate: async (request: EstimateRequest) => estimateModel(request),
};

self.onmessage = async ({ data }: MessageEvent<Request>) => {
  const { call, method, argument } = data;
  let reply: Reply;
  try {
    reply = { call, result: await api[method](argument as never) };
  } catch (error) {
    reply = { call, error: failureOf(error) };
  }
  (self as unknown as { postMessage(reply: Reply): void }).postMessage(reply);
};
