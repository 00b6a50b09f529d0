import { isPlainName } from '../checkpoint/model-files.ts';
import { RopewalkError } from '../errors.ts';

/**
 * A model on a hub, as users write it: `org/name`, `org/name@revision`, `org/name:file.gguf`, or the address of its
 * page.
 */
export interface ModelId {
  /** `org/name`, or only a name (`gpt2`) for models older than organizations. */
  readonly id: string;
  /** A branch, a tag or a commit. */
  readonly revision?: string;
  /** One of its files, or the quantization of one of its GGUF files (`Q4_K_M`). */
  readonly file?: string;
}

/** The kind of a repository; part of addresses and folder names. */
export type RepositoryKind = 'models' | 'datasets';

/** The hub's rules: letters, digits, `-`, `_` and `.`; each part begins and ends with a letter, a digit or `_`. */
const PART = '\\w(?:[\\w.-]{0,94}\\w)?';
/**
 * A name without an organization has no dot, so that `model.gguf` is a file, and more than one letter, which would be
 * a drive.
 */
const BARE = '\\w[\\w-]{0,94}\\w';
const MODEL_ID = new RegExp(`^(${PART}/${PART}|${BARE})(?:@([^:]+))?(?::(.+))?$`);

const ADDRESS = /^(?:https?:\/\/)?(?:www\.)?(?:huggingface\.co|hf\.co)(?:\/|$)/i;
/** What follows a repository's name in the address of one of its pages, and whether a file's path follows that. */
const PAGES: Readonly<Record<string, 'revision' | 'file'>> = {
  tree: 'revision',
  commit: 'revision',
  commits: 'revision',
  blob: 'file',
  resolve: 'file',
  raw: 'file',
};

/**
 * Reads an id, or the address of a repository's page; undefined for any other text. Two dashes in a row would be
 * ambiguous in the cache.
 *
 * @param kind of the repository: addresses of datasets begin with `datasets/`.
 * @param endpoint the hub whose addresses are accepted, in addition to huggingface.co and hf.co.
 * @throws RopewalkError for an address that is not of such a repository.
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

const NAMES: Readonly<Record<RepositoryKind, string>> = { models: 'model', datasets: 'dataset' };

function parseId(text: string): ModelId | undefined {
  const [, id, revision, file] = MODEL_ID.exec(text) ?? [];
  if (id === undefined || id.includes('--') || id.includes('..') || id.endsWith('.git')) return undefined;
  return { id, ...(revision !== undefined && { revision }), ...(file !== undefined && { file }) };
}

/** The path in an address of the hub, without query and fragment; undefined for other texts. */
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
    if (parts.shift() !== 'datasets') throw refused('is not the address of a dataset');
  } else if (parts[0] === 'datasets' || parts[0] === 'spaces') {
    throw refused(`is the address of a ${parts[0] === 'spaces' ? 'space' : 'dataset'}, not of a model`);
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
  // A folder of a dataset is as good as a file; one of a model's repository cannot be downloaded as a model.
  if (holds === 'revision' && file !== '' && kind === 'models') throw refused('is the page of a folder');
  return { ...named, revision, ...(file !== '' && { file }) };
}

/** Whether a text is a full commit hash. */
export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

/** Whether a text is a hash that names a blob: SHA-256, or git's SHA-1. */
export function isBlobHash(text: string): boolean {
  return /^(?:[0-9a-f]{64}|[0-9a-f]{40})$/.test(text);
}

/**
 * Whether a path from a server stays below the folder that it is joined to, on every system: nothing absolute, no
 * `..`, no drive or stream (`:`), nothing that Windows would shorten (`name.`, `name `).
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

/** @throws RopewalkError for a name that cannot be a branch, a tag or a commit. */
export function checkRevision(revision: string): void {
  if (isSafePath(revision)) return;
  throw new RopewalkError(
    `${JSON.stringify(revision)} is not the name of a revision; give a branch, a tag or a commit, such as main`,
  );
}
