import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { until } from './work.node.ts';

/**
 * A hub on this machine, as the hub's documentation and its Python client describe it: a list of files with hashes, and
 * files, the large ones redirected to a storage server of another origin. Tests put faults in front of either.
 */
export interface FakeModel {
  readonly commit: string;
  readonly revisions?: readonly string[];
  readonly files: Readonly<Record<string, Buffer>>;
  /** Whether its list names the files alone, without sizes and hashes, as some mirrors' do. */
  readonly namesOnly?: boolean;
}

export interface Request {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

/** Answers a request itself and says true, or leaves it. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;

export interface FakeHub {
  readonly endpoint: string;
  readonly storage: string;
  /** What was asked of the hub, and of its storage. */
  readonly requests: Request[];
  readonly storageRequests: Request[];
  /** Bytes of files that either has sent. */
  sent(): number;
  /** Faults of the hub and of its storage; undefined for none. */
  fault: Fault | undefined;
  storageFault: Fault | undefined;
  readonly models: Map<string, FakeModel>;
  close(): Promise<void>;
}

export const COMMIT = '0123456789abcdef0123456789abcdef01234567';

const LARGE = /\.(safetensors|gguf|bin|parquet)$/;
export const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');
export const gitHash = (data: Buffer) =>
  createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex');
export const blobName = (path: string, data: Buffer) => (LARGE.test(path) ? sha256(data) : gitHash(data));

export async function startHub(models: Readonly<Record<string, FakeModel>> = {}): Promise<FakeHub> {
  let sent = 0;
  const known = new Map(Object.entries(models));

  const sendFile = (request: IncomingMessage, response: ServerResponse, data: Buffer, etag: string) => {
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const condition = request.headers['if-range'];
    const from = range && (condition === undefined || condition === `"${etag}"`) ? Number(range[1]) : 0;
    if (from >= data.length && from > 0) {
      response.writeHead(416, { 'content-range': `bytes */${data.length}` }).end();
      return;
    }
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': data.length - from,
      etag: `"${etag}"`,
      ...(from > 0 && { 'content-range': `bytes ${from}-${data.length - 1}/${data.length}` }),
    });
    if (request.method === 'HEAD') response.end();
    else {
      sent += data.length - from;
      response.end(data.subarray(from));
    }
  };

  const answer = (request: IncomingMessage, response: ServerResponse, storage: string) => {
    const { pathname } = new URL(request.url!, 'http://localhost');
    const refuse = (status: number, code: string) =>
      response.writeHead(status, { 'x-error-code': code }).end(JSON.stringify({ error: code }));
    const [, id, what, rest] =
      /^\/api\/models\/([^/]+(?:\/[^/]+)?)\/(revision|tree)\/([^/]+)$/.exec(pathname) ??
      // Data sets are known by an id that begins with datasets/, and their files by addresses that do.
      /^\/api\/(datasets\/[^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(pathname) ??
      /^\/((?:datasets\/)?[^/]+(?:\/[^/]+)?)\/(resolve)\/(.+)$/.exec(pathname) ??
      [];
    const model = known.get(id ?? '');
    if (!model) return refuse(404, 'RepoNotFound');
    const [revision, ...parts] = rest!.split('/').map(decodeURIComponent);
    if (![model.commit, 'main', ...(model.revisions ?? [])].includes(revision!)) {
      return refuse(404, 'RevisionNotFound');
    }
    const entries = Object.entries(model.files);
    if (what === 'revision') {
      const siblings = entries.map(([rfilename, data]) => ({
        rfilename,
        ...(!model.namesOnly && {
          size: data.length,
          blobId: gitHash(data),
          ...(LARGE.test(rfilename) && {
            lfs: { sha256: sha256(data), size: data.length, pointerSize: 134 },
          }),
        }),
      }));
      return response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ _id: '1', id, modelId: id, sha: model.commit, private: false, siblings }));
    }
    if (what === 'tree') {
      const tree = entries.map(([path, data]) => ({
        type: 'file',
        path,
        size: data.length,
        oid: gitHash(data),
        ...(LARGE.test(path) && { lfs: { oid: sha256(data), size: data.length, pointerSize: 134 } }),
      }));
      return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(tree));
    }
    const path = parts.join('/');
    const data = model.files[path];
    if (!data) return refuse(404, 'EntryNotFound');
    response.setHeader('x-repo-commit', model.commit);
    if (!LARGE.test(path)) return sendFile(request, response, data, gitHash(data));
    return response
      .writeHead(302, {
        location: `${storage}/${id}/${path}?signature=x`,
        'x-linked-etag': `"${sha256(data)}"`,
        'x-linked-size': data.length,
      })
      .end();
  };

  const listen = (
    requests: Request[],
    handle: (request: IncomingMessage, response: ServerResponse) => void,
  ) => {
    const server = createServer((request, response) => {
      requests.push({ method: request.method!, url: request.url!, headers: request.headers });
      handle(request, response);
    });
    return new Promise<{ server: Server; url: string }>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        resolve({ server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
      });
    });
  };

  const requests: Request[] = [];
  const storageRequests: Request[] = [];
  const storage = await listen(storageRequests, async (request, response) => {
    if (await hub.storageFault?.(request, response)) return;
    const parts = new URL(request.url!, 'http://localhost').pathname.slice(1).split('/');
    const owned = known.has(parts[0]!) ? 1 : 2;
    const id = parts.splice(0, parts[0] === 'datasets' ? 3 : owned).join('/');
    const data = known.get(id)?.files[parts.map(decodeURIComponent).join('/')];
    // Storage has entity tags of its own.
    if (data) sendFile(request, response, data, `storage-${sha256(data).slice(0, 16)}`);
    else response.writeHead(404).end();
  });
  const front = await listen(requests, async (request, response) => {
    if (await hub.fault?.(request, response)) return;
    answer(request, response, storage.url);
  });

  const hub: FakeHub = {
    endpoint: front.url,
    storage: storage.url,
    requests,
    storageRequests,
    sent: () => sent,
    fault: undefined,
    storageFault: undefined,
    models: known,
    async close() {
      for (const { server } of [front, storage]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
  return hub;
}

/**
 * Sends a file as it should be, but cuts the connection after `bytes` of what was asked for, once the client has read
 * them: a cut drops what is still on its way.
 *
 * @param read whether the client has read so many bytes of the file.
 * @returns how many bytes were let through.
 */
export function cutAfter(
  request: IncomingMessage,
  response: ServerResponse,
  data: Buffer,
  bytes: number,
  read: (bytes: number) => boolean,
  etag = 'any',
): number {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const part = data.subarray(from, from + bytes);
  response.writeHead(from > 0 ? 206 : 200, {
    'content-length': data.length - from,
    etag: `"${etag}"`,
    ...(from > 0 && { 'content-range': `bytes ${from}-${data.length - 1}/${data.length}` }),
  });
  // A whole body ends its response: the client may send its next request on this connection, which a cut would take away.
  if (from + part.length >= data.length) {
    response.end(part);
    return part.length;
  }
  response.write(part, async () => {
    await until(() => response.closed || read(from + part.length), `${from + part.length} bytes are read`);
    response.destroy();
  });
  return part.length;
}
