import { readFile } from 'node:fs/promises';
import { splitNames } from '../checkpoint/gguf/reading/reader.ts';
import { CONFIG_FILE, WEIGHTS_FILE, WEIGHTS_INDEX } from '../checkpoint/model-files.ts';
import { RopewalkError } from '../errors.ts';
import { type ModelCache, parseJson } from './cache.node.ts';
import { type Choice, chooseFiles, hasQuantization, shardsOf, type Wish } from './choose.ts';

/** What the cache contains of a model. */
export interface Cached {
  /** The snapshot's folder, or the GGUF file in it; undefined if nothing usable is there. */
  readonly path?: string;
  /**
   * Whether everything requested is there. If it is not but there is a path, the model is usable, but something
   * optional (a chat template, for example) may be missing, which only the hub knows.
   */
  readonly complete: boolean;
  /** What is missing, for messages. */
  readonly missing: readonly string[];
}

/**
 * Looks for a model in the cache, without the network. A file is in a snapshot only once it is complete and its hash
 * verified, so it remains to check whether all files are there:
 *
 * - if a list of the commit's files was recorded (by us, before the first file, or by Python), by that list;
 * - otherwise (older versions of Python's library), there must be a configuration, all weights and a tokenizer, and no
 *   interrupted download of the model.
 */
export async function findCached(
  cache: ModelCache,
  id: string,
  revision: string,
  wish: Wish,
): Promise<Cached> {
  const commit = await cache.commitOf(revision);
  return commit === undefined ? withoutRef(cache, id, revision, wish) : atCommit(cache, id, commit, wish);
}

/**
 * A snapshot without a ref (a partially copied cache, a pull by commit): if it is the only complete one, it can be
 * used as `main` without a network. With a network, the hub says what `main` is.
 */
async function withoutRef(cache: ModelCache, id: string, revision: string, wish: Wish): Promise<Cached> {
  const nothing: Cached = { complete: false, missing: ['all of it'] };
  if (revision !== 'main') return nothing;
  const complete = new Map<string, string>();
  for (const commit of await cache.commits()) {
    const { path, complete: all } = await atCommit(cache, id, commit, wish).catch((error: unknown) => {
      // Problems with one of several snapshots are reported when that one is requested.
      if (error instanceof RopewalkError) return nothing;
      throw error;
    });
    if (all) complete.set(commit, path!);
  }
  if (complete.size === 1) return { path: [...complete.values()][0]!, complete: false, missing: [] };
  if (complete.size === 0) return nothing;
  const missing = `which of the commits ${[...complete.keys()].join(', ')} is ${revision} (choose one with @commit)`;
  return { complete: false, missing: [missing] };
}

async function atCommit(cache: ModelCache, id: string, commit: string, wish: Wish): Promise<Cached> {
  const noted = await cache.files(commit);
  if (!noted) return bySight(cache, id, commit, wish);
  const choice = chooseFiles(noted.files.values(), id, wish);
  const missing: string[] = [];
  for (const path of choice.files) {
    if (!(await cache.hasFile(commit, noted.files.get(path)!))) missing.push(path);
  }
  if (choice.index !== undefined && !missing.includes(choice.index)) {
    const shards = await readShards(cache.pointer(commit, choice.index));
    for (const shard of shards) {
      const file = noted.files.get(shard);
      if (!file || !(await cache.hasFile(commit, file))) missing.push(shard);
    }
  }
  if (missing.length === 0) return { path: pathOf(cache, commit, choice), complete: true, missing };
  // Python may have been asked for only some of the files.
  const sight = noted.ours ? undefined : await bySight(cache, id, commit, wish);
  return { ...(sight?.complete && { path: sight.path! }), complete: false, missing };
}

/** Judges a snapshot by the files that it has. */
async function bySight(
  cache: ModelCache,
  id: string,
  commit: string,
  { file, weights }: Wish,
): Promise<Cached> {
  const names = new Set(await cache.paths(commit));
  const there = (path: string) => cache.hasFile(commit, { path });
  if (file !== undefined) {
    const parts = partsNamed(names, id, file);
    const absent: string[] = [];
    for (const part of parts) if (!(await there(part))) absent.push(part);
    if (absent.length > 0) return { complete: false, missing: absent };
    return { path: cache.pointer(commit, parts[0]!), complete: true, missing: [] };
  }
  const missing: string[] = [];
  if (!(await there(CONFIG_FILE))) missing.push(CONFIG_FILE);
  if (weights !== false && !(await there(WEIGHTS_FILE))) {
    if (await there(WEIGHTS_INDEX)) {
      for (const shard of await readShards(cache.pointer(commit, WEIGHTS_INDEX))) {
        if (!(await there(shard))) missing.push(shard);
      }
    } else missing.push(WEIGHTS_FILE);
  }
  if (missing.length > 0) {
    const ggufs = [...names].filter(
      (name) => name.toLowerCase().endsWith('.gguf') && (splitNames(name)?.[0] ?? name) === name,
    );
    if (ggufs.length === 1 && missing.includes(CONFIG_FILE))
      return bySight(cache, id, commit, { file: ggufs[0]! });
    return { complete: false, missing };
  }
  const tokenizer = ['tokenizer.json', 'tokenizer.model', 'vocab.json'].some((name) => names.has(name));
  const complete = tokenizer && (await cache.partialBytes()) === undefined;
  return { path: cache.snapshot(commit), complete, missing };
}

/** The parts of a GGUF file given by name, or by quantization among the existing files. */
function partsNamed(names: ReadonlySet<string>, id: string, file: string): readonly string[] {
  if (file.toLowerCase().endsWith('.gguf')) return splitNames(file) ?? [file];
  const fitting = [...names].filter(
    (name) => hasQuantization(name, file) && name.toLowerCase().endsWith('.gguf'),
  );
  const firsts = new Set(fitting.map((name) => splitNames(name)?.[0] ?? name));
  if (firsts.size > 1)
    return chooseFiles(
      [...firsts].map((path) => ({ path })),
      id,
      { file },
    ).files;
  const [first] = firsts;
  return first === undefined ? [`a GGUF file of ${file}`] : (splitNames(first) ?? [first]);
}

export function pathOf(cache: ModelCache, commit: string, { gguf }: Choice): string {
  return gguf === undefined ? cache.snapshot(commit) : cache.pointer(commit, gguf);
}

/** The shards listed by an index in a cache folder. */
export async function readShards(path: string): Promise<string[]> {
  return shardsOf(parseJson(await readFile(path, 'utf8')), path);
}
