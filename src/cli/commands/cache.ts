import type { Command } from 'commander';
import { RopewalkError } from '../../errors.ts';
import { type Removal, removeFrom, superfluous, verifyCache, wholly } from '../../hub/cache-care.node.ts';
import { type CachedRepository, listCache } from '../../hub/cache-contents.node.ts';
import { hubSettings } from '../../hub/settings.node.ts';
import { interruptSignal } from '../terminal/interrupt.ts';
import { printable } from '../terminal/printable.ts';
import { Progress } from '../terminal/progress.ts';

interface CacheFlags {
  json?: boolean;
  dryRun?: boolean;
}

const help = `
The folder is the one that Python's huggingface_hub uses: HF_HUB_CACHE, or hub in HF_HOME.

Examples:
  ropewalk cache list
  ropewalk cache verify google/gemma-2-2b-it
  ropewalk cache prune --dry-run
  ropewalk cache remove org/name`;

export function register(program: Command): void {
  const cache = program
    .command('cache')
    .description('List, verify and clean the cache of downloaded models and datasets.')
    .addHelpText('after', help);
  cache
    .command('list', { isDefault: true })
    .description('Print what is in the cache and how large it is.')
    .option('--json', 'print the list as JSON on stdout')
    .addHelpText('after', '\nExamples:\n  ropewalk cache list\n  ropewalk cache list --json')
    .action(list);
  cache
    .command('verify')
    .description('Compare the files with their hashes.')
    .argument('[ids...]', 'models and datasets; default all')
    .option('--json', 'print the result as JSON on stdout')
    .addHelpText('after', '\nExamples:\n  ropewalk cache verify\n  ropewalk cache verify org/name --json')
    .action(verify);
  cache
    .command('prune')
    .description('Remove interrupted downloads, superseded revisions and unused files.')
    .argument('[ids...]', 'models and datasets; default all')
    .option('--dry-run', 'only print what would be removed')
    .option('--json', 'print what is removed as JSON on stdout')
    .addHelpText('after', '\nExamples:\n  ropewalk cache prune --dry-run\n  ropewalk cache prune org/name')
    .action(prune);
  cache
    .command('remove')
    .description('Remove models and datasets from the cache.')
    .argument('<ids...>', 'org/name')
    .option('--dry-run', 'only print what would be removed')
    .option('--json', 'print what is removed as JSON on stdout')
    .addHelpText(
      'after',
      '\nExamples:\n  ropewalk cache remove org/name\n  ropewalk cache remove org/name --dry-run',
    )
    .action(remove);
}

async function list({ json }: CacheFlags): Promise<void> {
  const folder = hubSettings({ offline: true }).cache;
  const all = await listCache(folder);
  if (json) {
    const shown = all.map(({ kind, id, folder, bytes, partial, revisions }) => ({
      ...{ kind, id, folder, bytes, partialBytes: sumOf(partial) },
      revisions: revisions.map(({ commit, refs, files }) => ({ commit, refs, files: files.length })),
    }));
    process.stdout.write(`${JSON.stringify({ folder, repositories: shown })}\n`);
    return;
  }
  const lines = all.map(({ id, kind, bytes, partial, revisions }) => {
    const refs = revisions.flatMap(({ refs, commit }) => (refs.length > 0 ? refs : [commit.slice(0, 8)]));
    const unfinished = partial.length > 0 ? `, ${size(sumOf(partial))} of them interrupted` : '';
    const what = kind === 'datasets' ? ' (dataset)' : '';
    return `${size(bytes).padStart(9)}  ${printable(id)}${what}  ${printable(refs.join(', '))}${unfinished}`;
  });
  const total = all.reduce((sum, { bytes }) => sum + bytes, 0);
  process.stdout.write(
    `${[...lines, `${size(total).padStart(9)}  in all, in ${printable(folder)}`].join('\n')}\n`,
  );
}

async function verify(ids: readonly string[], { json }: CacheFlags): Promise<void> {
  const repositories = await named(ids);
  const progress = new Progress();
  const { signal, dispose } = interruptSignal(() => progress.note('stopping …'));
  try {
    const result = await verifyCache(repositories, {
      signal,
      onProgress: (done, total) => progress.update('verifying', done, total, size(done)),
    });
    progress.end();
    const { files, bytes, problems, unchecked } = result;
    if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
    else {
      for (const { id, path, problem } of problems)
        process.stdout.write(`${problem}  ${printable(id)}  ${printable(path)}\n`);
      const skipped = unchecked > 0 ? `; ${unchecked} have no hash to compare with` : '';
      process.stdout.write(
        `${files} files, ${size(bytes)}: ${problems.length} damaged or missing${skipped}\n`,
      );
    }
    if (problems.length === 0) return;
    progress.note('To replace a damaged model: ropewalk cache remove ID, then ropewalk pull ID.');
    process.exitCode = 1;
  } finally {
    progress.end();
    dispose();
  }
}

async function prune(ids: readonly string[], flags: CacheFlags): Promise<void> {
  await act(await named(ids), (each) => superfluous(each), flags);
}

async function remove(ids: readonly string[], flags: CacheFlags): Promise<void> {
  await act(await named(ids), (each) => [wholly(each)], flags);
}

async function act(
  repositories: readonly CachedRepository[],
  removalsOf: (repository: CachedRepository) => Removal[],
  { dryRun, json }: CacheFlags,
): Promise<void> {
  const all: Removal[] = [];
  for (const repository of repositories) {
    const removals = removalsOf(repository);
    if (removals.length > 0 && !dryRun) await removeFrom(repository, removals);
    all.push(...removals);
  }
  if (json) {
    process.stdout.write(`${JSON.stringify({ dryRun: dryRun ?? false, removals: all })}\n`);
    return;
  }
  for (const { id, path, bytes, reason } of all)
    process.stdout.write(`${size(bytes).padStart(9)}  ${printable(id)}  ${reason}  ${printable(path)}\n`);
  process.stdout.write(`${size(sumOf(all))} ${dryRun ? 'would be' : 'were'} removed\n`);
}

/** @throws RopewalkError for one that is not in the cache. */
async function named(ids: readonly string[]): Promise<CachedRepository[]> {
  const folder = hubSettings({ offline: true }).cache;
  const all = await listCache(folder);
  if (ids.length === 0) return all;
  return ids.map((name) => {
    const found = all.find(({ id, kind }) => name === id || name === `${kind}/${id}`);
    if (!found)
      throw new RopewalkError(`${name} is not in the cache ${folder}; "ropewalk cache list" shows what is.`);
    return found;
  });
}

const sumOf = (all: readonly { readonly bytes: number }[]) => all.reduce((sum, { bytes }) => sum + bytes, 0);

function size(bytes: number): string {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
