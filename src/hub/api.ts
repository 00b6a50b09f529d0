import { type ListedFile, type Listing, parseListing, type RemoteFile } from './listing.ts';
import { isBlobHash, isCommit, type RepositoryKind } from './model-id.ts';
import { type Connection, type Reply, readAll, request } from './request.ts';
import { RequestError, retryAfter, withRetries } from './retry.ts';

/*
 * The two addresses of the hub that downloads use (https://huggingface.co/docs/hub/api):
 *
 *   /api/models/{id}/revision/{revision}?blobs=true   the commit, and every file with its size and hash
 *   /{id}/resolve/{commit}/{path}                     a file; a large one is redirected to other storage (HEAD gives
 *                                                     size and hash, if the list does not)
 *
 * and for datasets /api/datasets/… and /datasets/{id}/resolve/….
 *
 * We tried @huggingface/hub 2.17.5: it ignores HF_ENDPOINT and HF_TOKEN, does not resume, does not check hashes, fails
 *   offline even if everything is cached, and writes no ref. If we do all that ourselves, only these two addresses
 *   remain.
 */

/** The longest list of files that is read. The hub's longest are a few MB. */
const MOST_LISTING_BYTES = 64 * 2 ** 20;

/** The files of a model at a revision. */
export async function fetchListing(connection: Connection, id: string, revision: string): Promise<Listing> {
  const name = connection.endpoint;
  const listing = await withRetries(
    async () => {
      const reply = await request(
        connection,
        `/api/${kindOf(connection)}/${id}/revision/${encodeURIComponent(revision)}?blobs=true`,
      );
      if (reply.response.status !== 200) throw statusError(reply, connection, id, revision);
      const text = new TextDecoder().decode(await readAll(reply, MOST_LISTING_BYTES, name));
      let json: unknown;
      try {
        json = JSON.parse(text);
      } catch {
        throw new RequestError(
          `${name} does not answer like a hub (no JSON); check HF_ENDPOINT, and whether this network requires a login`,
          'final',
        );
      }
      return parseListing(json, name);
    },
    connection.timing,
    connection,
  );
  if (isCommit(revision) && listing.commit !== revision) {
    throw new RequestError(
      `${name} returned commit ${listing.commit} of ${id} for commit ${revision}; refused`,
      'final',
    );
  }
  return listing;
}

/**
 * Size and hash of a file: from the listing, or else from the hub's response before redirection, as in Python's
 * library: `X-Linked-ETag` and `X-Linked-Size` for a large file, `ETag` and `Content-Length` for others.
 */
export async function describeFile(
  connection: Connection,
  id: string,
  commit: string,
  file: ListedFile,
): Promise<RemoteFile> {
  if (file.hash !== undefined) return file;
  const { path } = file;
  const wrong = (what: string) =>
    new RequestError(
      `${connection.endpoint} provides ${what} neither in its list nor with ${id}/${path}, so the download could not ` +
        'be verified; check HF_ENDPOINT, or use another mirror',
      'final',
    );
  return withRetries(
    async () => {
      let tag: string | null = null;
      let length: string | null = null;
      const onHop = (given: Headers) => {
        if ((given.get('x-repo-commit') ?? commit) !== commit) throw anotherVersion(connection, id, path);
        tag = given.get('x-linked-etag') ?? given.get('etag') ?? tag;
        length = given.get('x-linked-size') ?? (given.has('location') ? length : given.get('content-length'));
      };
      const reply = await request(connection, fileUrl(connection, id, commit, path), {
        method: 'HEAD',
        onHop,
      });
      const { status } = reply.response;
      if (status >= 400) throw statusError(reply, connection, id, commit, path);
      reply.close();
      const hash = (tag ?? '').replace(/^(?:W\/)?"(.*)"$/, '$1');
      if (!isBlobHash(hash)) throw wrong('a hash');
      if (!/^\d{1,15}$/.test(length ?? '')) throw wrong('a size');
      return { path, hash, size: Number(length) };
    },
    connection.timing,
    connection,
  );
}

function anotherVersion(connection: Connection, id: string, path: string): RequestError {
  return new RequestError(
    `${connection.endpoint} returned another version of ${id}/${path} than it listed; try again`,
    'final',
  );
}

function fileUrl(connection: Connection, id: string, commit: string, path: string): string {
  return `${pathOf(connection, id)}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** Bytes of a file from `from` on, if the server supports ranges; the status says whether it does. A single try. */
export async function openFile(
  connection: Connection,
  id: string,
  commit: string,
  { path, hash }: RemoteFile,
  { from, tag }: { from: number; tag: string | undefined },
): Promise<Reply> {
  const headers: Record<string, string> = {
    ...(from > 0 && { range: `bytes=${from}-` }),
    // Only a strong tag is allowed here (RFC 9110, 13.1.5).
    ...(from > 0 && tag !== undefined && !tag.startsWith('W/') && { 'if-range': tag }),
  };
  const onHop = (given: Headers) => {
    const linked = given.get('x-linked-etag')?.replace(/^(?:W\/)?"(.*)"$/, '$1') ?? hash;
    if ((given.get('x-repo-commit') ?? commit) === commit && linked === hash) return;
    throw anotherVersion(connection, id, path);
  };
  const reply = await request(connection, fileUrl(connection, id, commit, path), { headers, onHop });
  if (![200, 206, 416].includes(reply.response.status))
    throw statusError(reply, connection, id, commit, path);
  const encoding = reply.response.headers.get('content-encoding') ?? 'identity';
  if (encoding !== 'identity') {
    reply.close();
    throw new RequestError(
      `${connection.endpoint} sent ${path} as ${encoding}, which was not requested; refused`,
      'final',
    );
  }
  return reply;
}

function kindOf({ repository = 'models' }: Connection): RepositoryKind {
  return repository;
}

/** The path of a repository's pages and files. */
function pathOf(connection: Connection, id: string): string {
  return kindOf(connection) === 'datasets' ? `/datasets/${id}` : `/${id}`;
}

/** The readable error for an unexpected answer. */
function statusError(
  { response: { status, headers }, close }: Reply,
  connection: Connection,
  id: string,
  revision: string,
  path?: string,
): RequestError {
  close();
  const { endpoint, token } = connection;
  const thing = kindOf(connection) === 'datasets' ? 'dataset' : 'model';
  const what = path === undefined ? `"${id}"` : `"${path}" of "${id}"`;
  if (status === 429 || status === 408 || status >= 500) {
    const why = status === 429 ? 'too many requests: it asks you to wait' : 'a server error';
    const waitMs = retryAfter(headers.get('retry-after'));
    return new RequestError(
      `${endpoint} answered ${status} for ${what} (${why}); try again later`,
      'passing',
      {
        status,
        waitMs,
      },
    );
  }
  const code = headers.get('x-error-code');
  const final = (message: string) => new RequestError(message, 'final', { status });
  const page = `${endpoint}${pathOf(connection, id)}`;
  const giveToken =
    token === undefined
      ? `provide a token of your account: set HF_TOKEN (create one at ${endpoint}/settings/tokens), or store one with "hf auth login"`
      : 'make sure that the token in use belongs to that account and may read gated models';
  if (status === 403 || (status === 401 && code === 'GatedRepo')) {
    return final(`"${id}" is gated (${status}): log in and accept its license on ${page}, then ${giveToken}`);
  }
  if (status === 401) {
    const why =
      token === undefined
        ? 'it does not exist, is private or is gated'
        : `the token was rejected, or the ${thing} does not exist or is private`;
    return final(
      `${endpoint} denied access to ${what} (401): ${why}; check the name, accept the license on ${page} if required, then ${giveToken}`,
    );
  }
  if (status === 404) {
    const missing =
      path !== undefined
        ? `no file "${path}" in "${id}" at revision "${revision}"`
        : code === 'RevisionNotFound'
          ? `no revision "${revision}" of "${id}"`
          : `no ${thing} "${id}" with a revision "${revision}"`;
    return final(
      `${endpoint} has ${missing} (404); check the names on ${page}; a private ${thing} needs HF_TOKEN`,
    );
  }
  return final(
    `${endpoint} answered ${status} for ${what}; check HF_ENDPOINT and the page of the ${thing}, ${page}`,
  );
}
