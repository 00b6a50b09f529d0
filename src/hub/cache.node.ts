import { randomBytes } from 'node:crypto';
import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { writeFileAtomic } from '../files/atomic.node.ts';
import { errorCode, fileError } from '../files/file-errors.ts';
import { hasSize } from './blob.node.ts';
import { type ListedFile, parseTree, type RemoteFile, treeText } from './listing.ts';
import { isCommit, type RepositoryKind } from './model-id.ts';

/**
 * A model or a dataset (`datasets--org--name`) in the cache of Python's huggingface_hub, in its layout, so that both
 * share the files:
 *
 *     models--org--name/
 *       blobs/<hash>                   the files, named by the hash of their contents
 *       snapshots/<commit>/<path>      a link to its blob (a copy where links are unavailable)
 *       refs/<revision>                the commit of a branch or a tag
 *       trees/<commit>.json            Python's list of all the files of a commit
 *       .ropewalk/<commit>.json        ours, written before the first file, to tell whether a snapshot is complete
 *
 * (https://huggingface.co/docs/huggingface_hub/guides/manage-cache). Ours is separate from Python's list, because
 * Python would treat a snapshot without the files that no model needs (pictures, pickles) as incomplete.
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

  /** The location of a file in a snapshot. `path` must have been checked to be safe. */
  pointer(commit: string, path: string): string {
    return join(this.snapshot(commit), ...path.split('/'));
  }

  /** The commit of a revision when it was last pulled. `revision` must have been checked to be safe. */
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

  /** All files of a commit, and whether Ropewalk recorded them; undefined if they were not recorded. */
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

  /** Paths of all files in a snapshot, with `/` between folders; empty if there is none. */
  async paths(commit: string): Promise<string[]> {
    const names = await readdir(this.snapshot(commit), { recursive: true }).catch(() => []);
    return names.map((name) => name.replaceAll(sep, '/')).sort();
  }

  /** Bytes of interrupted or running downloads of this model's files; undefined if there are none. */
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

  /** Whether a file is in a snapshot, where it appears only once it is complete; a known size is checked again. */
  hasFile(commit: string, { path, size }: ListedFile): Promise<boolean> {
    return hasSize(this.pointer(commit, path), size);
  }

  /** The commits with snapshots. */
  async commits(): Promise<string[]> {
    const names = await readdir(join(this.#folder, 'snapshots')).catch(() => []);
    return names.filter(isCommit).sort();
  }

  /** Adds a file whose blob exists to a snapshot. */
  async publish(commit: string, file: RemoteFile): Promise<void> {
    if (await this.hasFile(commit, file)) return;
    const pointer = this.pointer(commit, file.path);
    const blob = join(this.blobs, file.hash);
    // Created next to the blobs rather than in the snapshot, where an interrupted one would stay among the model's
    // files.
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

  /** Creates a symbolic link; if unavailable (Windows without developer mode), a hard link, else a copy. */
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
      throw fileError(error, 'create the folder', path);
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
