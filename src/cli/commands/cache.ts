import type { Command } from 'commander';
import { isIntact, removeLayout, wastedLayouts } from '../../checkpoint/layouts/contents.node.ts';
import { openModel } from '../../checkpoint/load.node.ts';
import { keepPacked } from '../../generation/decoder.node.ts';
import {
  type CacheProblem,
  type Removal,
  removeFrom,
  superfluous,
  verifyCache,
  wholly,
} from '../../hub/cache-care.node.ts';
import type { CachedRepository } from '../../hub/cache-contents.node.ts';
import { ENGINE_NAME } from '../../runtime/library.node.ts';
import { cached } from '../options/cached.ts';
import { addDecoderOptions, type DecoderFlags, decoderOptions, loadingProgress } from '../options/models.ts';
import { modelPath } from '../options/resolve.ts';
import { interruptSignal } from '../terminal/interrupt.ts';
import { printable } from '../terminal/printable.ts';
import { duration, Progress } from '../terminal/progress.ts';

interface CacheFlags {
  json?: boolean;
  dryRun?: boolean;
}

const help = `
Downloads are in the folder that Python's huggingface_hub uses: HF_HUB_CACHE, or hub in HF_HOME.
Layouts are models as the engine takes them, and large vocabularies as tables, kept so that models start
faster. ROPEWALK_LAYOUT_CACHE names their folder, or is off; ROPEWALK_LAYOUT_CACHE_SIZE limits it (20GB;
the least recently used go first).

Examples:
  ropewalk cache list
  ropewalk cache verify google/gemma-2-2b-it
  ropewalk cache prune --dry-run
  ropewalk cache remove org/name
  ropewalk cache remove layouts`;

export function register(program: Command): void {
  const cache = program
    .command('cache')
    .description('List, verify and clean the caches: downloaded models and datasets, and layouts.')
    .addHelpText('after', help);
  cache
    .command('list', { isDefault: true })
    .description('Print what is in the caches and how large it is.')
    .option('--json', 'print the list as JSON on stdout')
    .addHelpText('after', '\nExamples:\n  ropewalk cache list\n  ropewalk cache list --json')
    .action(list);
  cache
    .command('verify')
    .description('Compare the files with their hashes.')
    .argument('[ids...]', 'models, datasets and layouts; default all')
    .option('--json', 'print the result as JSON on stdout')
    .addHelpText('after', '\nExamples:\n  ropewalk cache verify\n  ropewalk cache verify org/name --json')
    .action(verify);
  cache
    .command('prune')
    .description('Remove interrupted downloads, superseded revisions, unused files and layouts of no use.')
    .argument('[ids...]', 'models, datasets and layouts; default all')
    .option('--dry-run', 'only print what would be removed')
    .option('--json', 'print what is removed as JSON on stdout')
    .addHelpText('after', '\nExamples:\n  ropewalk cache prune --dry-run\n  ropewalk cache prune org/name')
    .action(prune);
  addDecoderOptions(
    cache
      .command('pack')
      .description(
        "Keep the engine's packed form of a model: its later starts take little memory of their own.",
      )
      .argument('<model>', 'folder, .gguf or .safetensors file, or org/name on the hub'),
    { device: false },
  )
    .addHelpText(
      'after',
      `
The file has the model's weights twice, in the engine's layout and packed for this processor. Options of the model,
such as --activations, must be those of the later starts. Each process maps the file, so that several share its memory.

Examples:
  ropewalk cache pack model.gguf
  ropewalk cache pack org/name --quantize int8 --activations int8`,
    )
    .action(pack);
  cache
    .command('remove')
    .description('Remove models, datasets and layouts from the caches.')
    .argument('<ids...>', 'org/name, layout:… as listed, or layouts for all of them')
    .option('--dry-run', 'only print what would be removed')
    .option('--json', 'print what is removed as JSON on stdout')
    .addHelpText(
      'after',
      '\nExamples:\n  ropewalk cache remove org/name\n  ropewalk cache remove org/name --dry-run',
    )
    .action(remove);
}

async function list({ json }: CacheFlags): Promise<void> {
  const { folder, repositories: all, layouts } = await cached();
  if (json) {
    const shown = all.map(({ kind, id, folder, bytes, partial, revisions }) => ({
      ...{ kind, id, folder, bytes, partialBytes: sumOf(partial) },
      revisions: revisions.map(({ commit, refs, files }) => ({ commit, refs, files: files.length })),
    }));
    const files = layouts?.files.map(({ id, path, bytes, used, description }) => {
      const { source, form, engine } = description ?? {};
      return { id, path, bytes, used: new Date(used).toISOString(), source, form, engine };
    });
    const kept = layouts && { folder: layouts.folder, files };
    process.stdout.write(`${JSON.stringify({ folder, repositories: shown, layouts: kept })}\n`);
    return;
  }
  const lines = all.map(({ id, kind, bytes, partial, revisions }) => {
    const refs = revisions.flatMap(({ refs, commit }) => (refs.length > 0 ? refs : [commit.slice(0, 8)]));
    const unfinished = partial.length > 0 ? `, ${size(sumOf(partial))} of them interrupted` : '';
    const what = kind === 'datasets' ? ' (dataset)' : '';
    return `${size(bytes).padStart(9)}  ${printable(id)}${what}  ${printable(refs.join(', '))}${unfinished}`;
  });
  lines.push(`${size(sumOf(all)).padStart(9)}  in all, in ${printable(folder)}`);
  if (layouts && layouts.files.length > 0) {
    for (const { id, bytes, description } of layouts.files) {
      const what = description ? `${description.source} (${description.form})` : 'damaged';
      lines.push(`${size(bytes).padStart(9)}  ${id}  ${printable(what)}`);
    }
    lines.push(`${size(sumOf(layouts.files)).padStart(9)}  in all, in ${printable(layouts.folder)}`);
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}

async function verify(ids: readonly string[], { json }: CacheFlags): Promise<void> {
  const { repositories, layouts } = await cached(ids);
  const progress = new Progress();
  const { signal, dispose } = interruptSignal(() => progress.note('stopping …'));
  try {
    const ofLayouts = sumOf(layouts?.files ?? []);
    let shown = 0;
    const found = await verifyCache(repositories, {
      signal,
      onProgress: (done, total) => {
        shown = done;
        progress.update('verifying', done, total + ofLayouts, size(done));
      },
    });
    const problems: CacheProblem[] = [...found.problems];
    for (const layout of layouts?.files ?? []) {
      const isWhole = await isIntact(
        layout,
        (bytes) => {
          shown += bytes;
          progress.update('verifying', shown, found.bytes + ofLayouts, size(shown));
        },
        signal,
      );
      if (!isWhole) problems.push({ id: layout.id, path: layout.path, problem: 'damaged' });
    }
    progress.end();
    const files = found.files + (layouts?.files.length ?? 0);
    const bytes = found.bytes + ofLayouts;
    const { unchecked } = found;
    if (json) process.stdout.write(`${JSON.stringify({ files, bytes, problems, unchecked })}\n`);
    else {
      for (const { id, path, problem } of problems)
        process.stdout.write(`${problem}  ${printable(id)}  ${printable(path)}\n`);
      const skipped = unchecked > 0 ? `; ${unchecked} have no hash to compare with` : '';
      process.stdout.write(
        `${files} files, ${size(bytes)}: ${problems.length} damaged or missing${skipped}\n`,
      );
    }
    if (problems.length === 0) return;
    if (problems.some(({ id }) => id.startsWith('layout:')))
      progress.note('Damaged layouts are made again when their model is loaded.');
    if (problems.some(({ id }) => !id.startsWith('layout:')))
      progress.note('To replace a damaged model: ropewalk cache remove ID, then ropewalk pull ID.');
    process.exitCode = 1;
  } finally {
    progress.end();
    dispose();
  }
}

async function pack(name: string, flags: Omit<DecoderFlags, 'device' | 'precision'>): Promise<void> {
  const { layoutCache: _, ...options } = decoderOptions(flags);
  const opened = await openModel(await modelPath(name));
  try {
    const billions = opened.model.parameterCount() / 1e9;
    // The engine reports no progress.
    if (billions > 0.1)
      new Progress().note(`packing, writing and comparing takes about ${duration(30 * billions)}`);
    const bytes = await keepPacked(opened, { ...options, ...loadingProgress(opened) });
    process.stdout.write(`${size(bytes)} kept of ${printable(name)}\n`);
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

async function prune(ids: readonly string[], flags: CacheFlags): Promise<void> {
  const { repositories, layouts } = await cached(ids);
  const chosen = new Set(layouts?.files.map(({ path }) => path));
  // Named ones only, or everything of no use.
  const wasted = layouts
    ? (await wastedLayouts(layouts.folder, ENGINE_NAME)).filter(
        ({ path }) => ids.length === 0 || ids.includes('layouts') || chosen.has(path),
      )
    : [];
  await act(repositories, (each) => superfluous(each), wasted, flags);
}

async function remove(ids: readonly string[], flags: CacheFlags): Promise<void> {
  const { repositories, layouts } = await cached(ids);
  const asked = layouts?.files.map(({ id, path, bytes }) => {
    return { id, path, bytes, reason: 'asked for' as const };
  });
  await act(repositories, (each) => [wholly(each)], asked ?? [], flags);
}

/** Removes what is chosen of repositories, and files of layouts. */
async function act(
  repositories: readonly CachedRepository[],
  removalsOf: (repository: CachedRepository) => Removal[],
  layouts: readonly (Omit<Removal, 'reason'> & { readonly reason: string })[],
  { dryRun, json }: CacheFlags,
): Promise<void> {
  const all: (Omit<Removal, 'reason'> & { readonly reason: string })[] = [];
  for (const repository of repositories) {
    const removals = removalsOf(repository);
    if (removals.length > 0 && !dryRun) await removeFrom(repository, removals);
    all.push(...removals);
  }
  for (const layout of layouts) {
    if (!dryRun) await removeLayout(layout.path);
    all.push(layout);
  }
  if (json) {
    process.stdout.write(`${JSON.stringify({ dryRun: dryRun ?? false, removals: all })}\n`);
    return;
  }
  for (const { id, path, bytes, reason } of all)
    process.stdout.write(`${size(bytes).padStart(9)}  ${printable(id)}  ${reason}  ${printable(path)}\n`);
  process.stdout.write(`${size(sumOf(all))} ${dryRun ? 'would be' : 'were'} removed\n`);
}

const sumOf = (all: readonly { readonly bytes: number }[]) => all.reduce((sum, { bytes }) => sum + bytes, 0);

function size(bytes: number): string {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
