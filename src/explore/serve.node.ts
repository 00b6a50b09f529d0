import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { option, RopewalkError, said } from '../errors.ts';
import { errorCode } from '../files/file-errors.ts';
import type { SiteFile } from './files.node.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
};

/**
 * Headers of every response. WebAssembly threads require a page that is isolated from other sites; the page runs only
 * its own programs.
 */
const HEADERS: Readonly<Record<string, string>> = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Content-Security-Policy':
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
};

export interface Explorer {
  readonly address: string;
  close(): Promise<void>;
}

/**
 * Serves the site on this machine.
 *
 * @param port 0 for any free port.
 * @param host Default 127.0.0.1: only this machine.
 * @throws RopewalkError if the port is in use.
 */
export async function serveSite(
  files: ReadonlyMap<string, SiteFile>,
  { port, host = '127.0.0.1' }: { readonly port: number; readonly host?: string },
): Promise<Explorer> {
  const server = createServer((request, response) => {
    answer(files, request, response).catch(() => response.destroy());
  });
  await listen(server, port, host);
  const { port: actual } = server.address() as AddressInfo;
  const name = host.includes(':') ? `[${host}]` : host;
  return {
    address: `http://${name}:${actual}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const code = errorCode(error);
      const why = code === 'EADDRINUSE' ? 'it is in use' : error.message;
      reject(
        new RopewalkError(
          said`cannot serve on port ${port} of ${host}: ${why}; choose another (${option('port')}).`,
          { cause: error },
        ),
      );
    });
    server.listen(port, host, resolve);
  });
}

async function answer(
  files: ReadonlyMap<string, SiteFile>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method } = request;
  if (method !== 'GET' && method !== 'HEAD') {
    return refuse(response, 405, { Allow: 'GET, HEAD' });
  }
  const name = nameOf(request.url ?? '/');
  const file = name === undefined ? undefined : files.get(name);
  if (name === undefined || !file) return refuse(response, 404);
  const { size, tag } = await measure(file);
  const headers = {
    ...HEADERS,
    'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream',
    // The names of the page's programs change with their contents.
    'Cache-Control': name.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    ETag: tag,
  };
  if (request.headers['if-none-match'] === tag) {
    response.writeHead(304, headers).end();
    return;
  }
  response.writeHead(200, { ...headers, 'Content-Length': size });
  if (method === 'HEAD') response.end();
  else if ('content' in file) response.end(file.content);
  // Never more than the announced length, even if the file grows meanwhile.
  else if (size > 0) await pipeline(createReadStream(file.path, { end: size - 1 }), response);
  else response.end();
}

/** The name of a file of the site; undefined for an unknown address. Names are looked up, never joined to a path. */
function nameOf(url: string): string | undefined {
  try {
    const path = decodeURIComponent(url.split(/[?#]/, 1)[0]!);
    return path === '/' ? 'index.html' : path.slice(1);
  } catch {
    return undefined;
  }
}

async function measure(file: SiteFile): Promise<{ size: number; tag: string }> {
  if ('content' in file) {
    const digest = createHash('sha256').update(file.content).digest('base64url').slice(0, 20);
    return { size: Buffer.byteLength(file.content), tag: `"${digest}"` };
  }
  const { size, mtimeMs } = await stat(file.path);
  return { size, tag: `"${size.toString(36)}-${Math.floor(mtimeMs).toString(36)}"` };
}

function refuse(response: ServerResponse, status: number, more: Record<string, string> = {}): void {
  response.writeHead(status, { ...HEADERS, ...more, 'Content-Type': 'text/plain; charset=utf-8' });
  response.end(status === 404 ? 'not found\n' : 'not allowed\n');
}
