import { RopewalkError } from '../errors.ts';
import { isBlobHash, isCommit, isSafePath } from './model-id.ts';

/** A file of a model on the hub. */
export interface RemoteFile {
  /** From the model's root, with `/` between folders. */
  readonly path: string;
  readonly size: number;
  /** SHA-256 in hexadecimal for a file in large-file storage, git's SHA-1 of the blob for the others. */
  readonly hash: string;
}

/** A file in a listing. Some mirrors list only names: size and hash are then requested per file. */
export type ListedFile =
  | RemoteFile
  | { readonly path: string; readonly size?: undefined; readonly hash?: undefined };

/** The files of a model at a commit. */
export interface Listing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, ListedFile>;
}

/**
 * Parses the hub's answer to `/api/models/{id}/revision/{revision}?blobs=true`. Nothing in it is trusted: names,
 * hashes and sizes are checked here, before any of them becomes part of a path.
 * @param server its name in messages
 */
export function parseListing(json: unknown, server: string): Listing {
  const wrong = (what: string) =>
    new RopewalkError(
      `${server}: its list of files ${what}; refused: check HF_ENDPOINT, and the model's page`,
    );
  if (!isRecord(json) || !Array.isArray(json.siblings)) throw wrong('is not in the format of a hub');
  if (typeof json.sha !== 'string' || !isCommit(json.sha)) {
    throw wrong(`names the commit ${show(json.sha)}, which is not 40 hexadecimal digits`);
  }
  const files = new Map<string, ListedFile>();
  for (const sibling of json.siblings as unknown[]) {
    if (!isRecord(sibling) || typeof sibling.rfilename !== 'string') throw wrong('has a file without a name');
    const path = sibling.rfilename;
    if (!isSafePath(path)) throw wrong(`has ${show(path)}, which would escape its folder`);
    const lfs = isRecord(sibling.lfs) ? sibling.lfs : undefined;
    const hash = lfs ? lfs.sha256 : sibling.blobId;
    const size = lfs ? lfs.size : sibling.size;
    if (hash === undefined) {
      files.set(path, { path });
      continue;
    }
    if (typeof hash !== 'string' || !isBlobHash(hash)) {
      throw wrong(`gives ${show(path)} the invalid hash ${show(hash)}`);
    }
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      throw wrong(`gives ${show(path)} the invalid size ${show(size)}`);
    }
    files.set(path, { path, size, hash });
  }
  return { commit: json.sha, files };
}

/**
 * Parses a list of files in the cache, in the format that Python's huggingface_hub uses for its own
 * (`trees/<commit>.json`); undefined if it is not in that format.
 */
export function parseTree(json: unknown): ReadonlyMap<string, ListedFile> | undefined {
  if (!isRecord(json) || json.format_version !== 1 || !isRecord(json.files)) return undefined;
  const files = new Map<string, ListedFile>();
  for (const [path, entry] of Object.entries(json.files)) {
    if (!isSafePath(path) || !isRecord(entry)) return undefined;
    if (Object.keys(entry).length === 0) {
      files.set(path, { path });
      continue;
    }
    const large = typeof entry.lfs_sha256 === 'string';
    const hash = large ? entry.lfs_sha256 : entry.blob_id;
    const size = large ? entry.lfs_size : entry.size;
    if (typeof hash !== 'string' || !isBlobHash(hash) || typeof size !== 'number') return undefined;
    files.set(path, { path, size, hash });
  }
  return files;
}

/** The inverse of `parseTree`. */
export function treeText(files: ReadonlyMap<string, ListedFile>): string {
  const entries = [...files.values()].map(({ path, size, hash }) => {
    if (hash === undefined) return [path, {}];
    const entry = hash.length === 64 ? { size, lfs_sha256: hash, lfs_size: size } : { size, blob_id: hash };
    return [path, entry];
  });
  return JSON.stringify({ format_version: 1, files: Object.fromEntries(entries) }, null, 1);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value from a server for messages: on one line, and truncated. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
