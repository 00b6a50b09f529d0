import { readAblation } from '../../src/ablate/result.ts';
import { RopewalkError } from '../../src/errors.ts';
import { estimate } from '../../src/estimate/estimate.ts';
import { SITE_INDEX, type SiteIndex } from '../../src/explore/site.ts';
import { modelFromConfig } from '../../src/families/registry.ts';
import { namedPreset } from '../../src/inspect/named-model.ts';
import { siteUrl, wasmEngine } from './engine.ts';
import { type OpenModel, openModel } from './open-model.ts';
import type { EstimateRequest, GivenFile, ModelsApi, Reply, Request, TapsFound } from './protocol.ts';
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

function remember(id: string, opening: Promise<OpenModel>): Promise<OpenModel> {
  opened.delete(id);
  opened.set(id, opening);
  // One that does not open is tried again the next time.
  opening.catch(() => opened.delete(id));
  const [oldest] = opened;
  if (opened.size > KEPT && oldest) {
    opened.delete(oldest[0]);
    void oldest[1].then(release, () => {});
  }
  return opening;
}

async function release(model: OpenModel): Promise<void> {
  await model.runner.release();
  await (await model.lens()).release();
}

async function openSiteModel(id: string): Promise<OpenModel> {
  const entry = (await listSite()).models.find((model) => model.id === id);
  if (!entry) throw new RopewalkError(`there is no model "${id}" here; choose one of the list.`);
  const engine = await wasmEngine();
  const files: GivenFile[] = [];
  for (const name of entry.files) {
    files.push({ name, data: await (await fetchFile(`models/${id}/${name}`)).blob() });
  }
  return openModel(engine, files, id, entry.name);
}

function modelOf(id: string): Promise<OpenModel> {
  return remember(id, opened.get(id) ?? openSiteModel(id));
}

let given = 0;

async function openGiven(files: readonly GivenFile[]): Promise<OpenModel> {
  const id = `given-${++given}`;
  const folder = files[0]?.name.includes('/') ? files[0].name.split('/')[0] : undefined;
  const named = files.map(({ name, data }) => ({ name: name.split('/').at(-1)!, data }));
  const gguf = named.find(({ name }) => /\.gguf$/i.test(name));
  const opening = (async () => openModel(await wasmEngine(), named, id, folder ?? gguf?.name ?? 'model'))();
  return remember(id, opening);
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
  openFiles: async (files: readonly GivenFile[]) => (await openGiven(files)).info,
  run: async (request: Parameters<ModelsApi['run']>[0]) => runText(await modelOf(request.model), request),
  tap: async ({ model, text, taps }: Parameters<ModelsApi['tap']>[0]): Promise<TapsFound> => {
    const open = await modelOf(model);
    const { ids, tokens } = encodeText(open, text);
    const { values } = await runPadded(open, ids, taps);
    return { tokens, values };
  },
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
    const message = error instanceof Error ? error.message : String(error);
    reply = { call, error: message, expected: error instanceof RopewalkError };
  }
  (self as unknown as { postMessage(reply: Reply): void }).postMessage(reply);
};
