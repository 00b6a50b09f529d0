import { isPlainName } from '../checkpoint/model-files.ts';
import { RopewalkError } from '../errors.ts';

/** A model on a hub, as people write it: `org/name`, `org/name@revision`, `org/name:file.gguf`, or its page's address. */
export interface ModelId {
  /** `org/name`, or a name alone (`gpt2`) for the models that are older than organizations. */
  readonly id: string;
  /** A branch, a tag or a commit. */
  readonly revision?: string;
  /** One file of it, or the quantization of one of its GGUF files (`Q4_K_M`). */
  readonly file?: string;
}

/** What a repository of the hub holds; its part of an address and of a folder's name. */
export type RepositoryKind = 'models' | 'datasets';

/** The hub's rules: letters, digits, `-`, `_` and `.`; each part begins and ends with a letter, a digit or `_`. */
const PART = '\\w(?:[\\w.-]{0,94}\\w)?';
/** A name without an organization has no dot, so that `model.gguf` is a file; nor is it one letter, a drive's. */
const BARE = '\\w[\\w-]{0,94}\\w';
const MODEL_ID = new RegExp(`^(${PART}/${PART}|${BARE})(?:@([^:]+))?(?::(.+))?$`);

const ADDRESS = /^(?:https?:\/\/)?(?:www\.)?(?:huggingface\.co|hf\.co)(?:\/|$)/i;
/** What follows a repository's name in the address of a page of it, and whether a file's path does. */
const PAGES: Readonly<Record<string, 'revision' | 'file'>> = {
  tree: 'revision',
  commit: 'revision',
  commits: 'revision',
  blob: 'file',
  resolve: 'file',
  raw: 'file',
};

/**
 * Reads an id, or the address of a repository's page; undefined for a text of any other form. Two dashes in a row would
 * be ambiguous in the cache.
 *
 * @param kind what is named: addresses of data sets begin with `datasets/`.
 * @param endpoint the hub whose addresses are read, beside those of huggingface.co and hf.co.
 * @throws RopewalkError for an address that is none of such a repository.
 */
export function parseModelId(
  text: string,
  kind: RepositoryKind = 'models',
  endpoint?: string,
): ModelId | undefined {
  const path = addressPath(text, endpoint);
  if (path !== undefined) return parseAddress(text, path, kind);
  if (/^https?:\/\//i.test(text)) {
    throw new RopewalkError(
      `${JSON.stringify(text)} is not an address of ${endpoint ?? 'https://huggingface.co'}; give the id of a ` +
        `${NAMES[kind]} (org/name), set HF_ENDPOINT for another hub, or download it and give its path`,
    );
  }
  return parseId(text);
}

const NAMES: Readonly<Record<RepositoryKind, string>> = { models: 'model', datasets: 'data set' };

function parseId(text: string): ModelId | undefined {
  const [, id, revision, file] = MODEL_ID.exec(text) ?? [];
  if (id === undefined || id.includes('--') || id.includes('..') || id.endsWith('.git')) return undefined;
  return { id, ...(revision !== undefined && { revision }), ...(file !== undefined && { file }) };
}

/** What follows the hub's name in an address of it, without query and fragment; undefined for other texts. */
function addressPath(text: string, endpoint: string | undefined): string | undefined {
  const clean = (path: string) => path.replace(/[?#].*$/s, '').replace(/^\/+|\/+$/g, '');
  if (endpoint !== undefined && text.startsWith(`${endpoint}/`)) return clean(text.slice(endpoint.length));
  const [head] = ADDRESS.exec(text) ?? [];
  return head === undefined ? undefined : clean(text.slice(head.length));
}

/** `org/name`, `org/name/tree/main`, `gpt2/blob/main/x.gguf`, `datasets/org/name` … */
function parseAddress(text: string, path: string, kind: RepositoryKind): ModelId {
  const shape = kind === 'datasets' ? 'datasets/org/name' : 'org/name';
  const refused = (why: string) =>
    new RopewalkError(
      `${JSON.stringify(text)} ${why}; give https://huggingface.co/${shape}, or its page of a revision ` +
        `(…/tree/main) or of a file (…/blob/main/FILE)`,
    );
  let parts: string[];
  try {
    parts = path.split('/').map(decodeURIComponent);
  } catch {
    throw refused('is not a valid address');
  }
  if (kind === 'datasets') {
    if (parts.shift() !== 'datasets') throw refused('is not the address of a data set');
  } else if (parts[0] === 'datasets' || parts[0] === 'spaces') {
    throw refused(`is the address of a ${parts[0] === 'spaces' ? 'space' : 'data set'}, not of a model`);
  }
  const owned = parts.length > 1 && !Object.hasOwn(PAGES, parts[1]!) ? 2 : 1;
  const named = parseId(parts.slice(0, owned).join('/'));
  if (!named) throw refused(`is not the address of a ${NAMES[kind]}`);
  const [page, ...rest] = parts.slice(owned);
  if (page === undefined) return named;
  const holds = Object.hasOwn(PAGES, page) ? PAGES[page] : undefined;
  // Pull requests are revisions with slashes, which not every link encodes.
  const revision = rest[0] === 'refs' && rest.length >= 3 ? rest.splice(0, 3).join('/') : rest.shift();
  if (!holds || revision === undefined || named.revision !== undefined || named.file !== undefined) {
    throw refused(`is not the page of a ${NAMES[kind]}, of a revision or of a file of it`);
  }
  const file = rest.join('/');
  // A folder of a data set is as good as a file; one of a model's repository is no model that we know how to fetch.
  if (holds === 'revision' && file !== '' && kind === 'models') throw refused('is the page of a folder');
  return { ...named, revision, ...(file !== '' && { file }) };
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
