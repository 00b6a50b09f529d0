import { isPlainName } from '../checkpoint/model-files.ts';
import { RopewalkError } from '../errors.ts';

/** A model on a hub, as people write it: `org/name`, `org/name@revision`, `org/name:file.gguf`. */
export interface ModelId {
  /** `org/name` */
  readonly id: string;
  /** A branch, a tag or a commit. */
  readonly revision?: string;
  /** One file of it. */
  readonly file?: string;
}

/** What a repository of the hub holds; its part of an address and of a folder's name. */
export type RepositoryKind = 'models' | 'datasets';

/** The hub's rules: letters, digits, `-`, `_` and `.`; each part begins and ends with a letter, a digit or `_`. */
const PART = '\\w(?:[\\w.-]{0,94}\\w)?';
const MODEL_ID = new RegExp(`^(${PART}/${PART})(?:@([^:]+))?(?::(.+))?$`);

/** Reads an id; undefined for a text of any other form. Two dashes in a row would be ambiguous in the cache. */
export function parseModelId(text: string): ModelId | undefined {
  const [, id, revision, file] = MODEL_ID.exec(text) ?? [];
  if (id === undefined || id.includes('--') || id.includes('..') || id.endsWith('.git')) return undefined;
  return { id, ...(revision !== undefined && { revision }), ...(file !== undefined && { file }) };
}

/** Whether a text is the whole hash of a commit. */
export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

/** Whether a text is the hash that names a blob: SHA-256, or git's SHA-1. */
export function isBlobHash(text: string): boolean {
  return /^(?:[0-9a-f]{64}|[0-9a-f]{40})$/.test(text);
}

/**
 * Whether a path, as a server names it, leads to a file below the folder that it is joined to, on every system:
 * nothing absolute, no `..`, no drive or stream (`:`), nothing that Windows would shorten (`name.`, `name `).
 */
export function isSafePath(path: string): boolean {
  return path.split('/').every(
    (part) =>
      isPlainName(part) &&
      part.length <= 255 &&
      !/[. ]$/.test(part) &&
      !part.includes(':') &&
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
      !/[\u0000-\u001f\u007f]/.test(part),
  );
}

/** @throws RopewalkError for a name that cannot be that of a branch, a tag or a commit. */
export function checkRevision(revision: string): void {
  if (isSafePath(revision)) return;
  throw new RopewalkError(
    `${JSON.stringify(revision)} is not the name of a revision; give a branch, a tag or a commit, such as main`,
  );
}
