import { randomBytes } from 'node:crypto';
import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { writeFileAtomic } from '../files/atomic.node.ts';
import { errorCode, fileError } from '../files/file-errors.ts';
import { hasSize } from './blob.node.ts';
import { type ListedFile, parseTree, type RemoteFile, treeText } from './listing.ts';
import { isCommit, type RepositoryKind } from './model-id.ts';

/**
 * A model, or a data set (`datasets--org--name`), in the cache that Python's huggingface_hub keeps, in its layout, so that both share the files:
 *
 *     models--org--name/
 *       blobs/<hash>                   the files, each by the hash of what is in it
 *       snapshots/<commit>/<path>      a link to its blob (a copy where links are not to be had)
 *       refs/<revision>                the commit that a branch or a tag stood for
 *       trees/<commit>.json            Python's list of all the files of a commit
 *       .ropewalk/<commit>.json        ours, written before the first file: by it a snapshot is known to be whole
 *
 * (https://huggingface.co/docs/huggingface_hub/guides/manage-cache). Ours is not put where Python's is: Python would take
 * a snapshot for incomplete that lacks the files that no model needs (pictures, pickles).
 */
export class ModelCache {
  readonly blobs: string;
  readonly locks: string;
  readonly #folder: string;

  readonly #symlinks: boolean;

  constructor(cache: string, id: string, symlinks = true, kind: RepositoryKind = 'models') {
    this.#symlinks = symlinks;
    const name = `${kind}--${id.replace('/', '--')}`;
    this.#folder = join(cache, name);
    this.blobs = join(this.#folder, 'blobs');
    this.locks = join(cache, '.locks', name);
  }

  snapshot(commit: string): string {
    return join(this.#folder, 'snapshots', commit);
  }

  /** Where a file of a snapshot lies. `path` has been checked to be safe. */
  pointer(commit: string, path: string): string {
    return join(this.snapshot(commit), ...path.split('/'));
  }

  /** The commit that a revision stood for when it was last pulled. `revision` has been checked to be safe. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const text = await this.#readText(join(this.#folder, 'refs', ...revision.split('/')));
    const commit = text?.trim() ?? '';
    return isCommit(commit) ? commit : undefined;
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    if (isCommit(revision) || (await this.commitOf(revision)) === commit) return;
    const path = join(this.#folder, 'refs', ...revision.split('/'));
    await this.#makeFolder(dirname(path));
    await writeFileAtomic(path, commit);
  }

  /** All files of a commit, and whether it was we who noted them; undefined where nobody did. */
  async files(
    commit: string,
  ): Promise<{ files: ReadonlyMap<string, ListedFile>; ours: boolean } | undefined> {
    for (const folder of ['.ropewalk', 'trees']) {
      const text = await this.#readText(join(this.#folder, folder, `${commit}.json`));
      const files = text === undefined ? undefined : parseTree(parseJson(text));
      if (files) return { files, ours: folder === '.ropewalk' };
    }
    return undefined;
  }

  async writeFiles(commit: string, files: ReadonlyMap<string, ListedFile>): Promise<void> {
    const path = join(this.#folder, '.ropewalk', `${commit}.json`);
    await this.#makeFolder(dirname(path));
    await writeFileAtomic(path, treeText(files));
  }

  /** Paths of all files in a snapshot, with `/` between folders; empty where there is none. */
  async paths(commit: string): Promise<string[]> {
    const names = await readdir(this.snapshot(commit), { recursive: true }).catch(() => []);
    return names.map((name) => name.replaceAll(sep, '/')).sort();
  }

  /** Bytes of downloads of this model's files that were broken off, or are under way; undefined where there are none. */
  async partialBytes(): Promise<number | undefined> {
    const names = await readdir(this.blobs).catch(() => []);
    const partials = names.filter((name) => name.endsWith('.incomplete'));
    if (partials.length === 0) return undefined;
    const sizes = partials.map((name) =>
      stat(join(this.blobs, name)).then(
        (status) => status.size,
        () => 0,
      ),
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** Whether a file is in a snapshot, where it comes only once it is whole; a size that is known is checked again. */
  hasFile(commit: string, { path, size }: ListedFile): Promise<boolean> {
    return hasSize(this.pointer(commit, path), size);
  }

  /** The commits that there are snapshots of. */
  async commits(): Promise<string[]> {
    const names = await readdir(join(this.#folder, 'snapshots')).catch(() => []);
    return names.filter(isCommit).sort();
  }

  /** Puts a file whose blob is there into a snapshot. */
  async publish(commit: string, file: RemoteFile): Promise<void> {
    if (await this.hasFile(commit, file)) return;
    const pointer = this.pointer(commit, file.path);
    const blob = join(this.blobs, file.hash);
    // Made beside the blobs, not in the snapshot, where an interrupted one would stay among the model's files.
    const draft = `${blob}.${randomBytes(4).toString('hex')}.pointer`;
    await this.#makeFolder(dirname(pointer));
    try {
      await this.#makePointer(blob, draft, relative(dirname(pointer), blob));
      await rename(draft, pointer);
    } catch (error) {
      throw fileError(error, 'write', pointer);
    } finally {
      await rm(draft, { force: true }).catch(() => {});
    }
  }

  /** A symbolic link; where they are not to be had (Windows without its developer mode), a hard link, else a copy. */
  async #makePointer(blob: string, draft: string, target: string): Promise<void> {
    const without = [
      'EPERM',
      'EACCES',
      'ENOSYS',
      'ENOTSUP',
      'EOPNOTSUPP',
      'EINVAL',
      'EMLINK',
      'EXDEV',
      'UNKNOWN',
    ];
    const tries = [...(this.#symlinks ? [() => symlink(target, draft)] : []), () => link(blob, draft)];
    for (const attempt of tries) {
      try {
        await attempt();
        return;
      } catch (error) {
        if (!without.includes(errorCode(error) ?? '')) throw error;
      }
    }
    await copyFile(blob, draft);
  }

  async #makeFolder(path: string): Promise<void> {
    try {
      await mkdir(path, { recursive: true });
    } catch (error) {
      throw fileError(error, 'make the folder', path);
    }
  }

  async #readText(path: string): Promise<string | undefined> {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(errorCode(error) ?? '')) return undefined;
      throw fileError(error, 'read', path);
    }
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
