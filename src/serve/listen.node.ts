import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type MessagePart, option, RopewalkError, said } from '../errors.ts';
import type { ModelService } from './service.ts';

export interface ListenOptions {
  readonly port: number;
  readonly host: string;
  /** Seconds to receive the headers of a request, default 15. A slower client gets 408. */
  readonly headersTimeout?: number | undefined;
  /** Seconds to receive headers and body, default 60. */
  readonly requestTimeout?: number | undefined;
}

export interface Listening {
  /** The address: `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Stops accepting connections, waits for running requests, then closes the service. @param grace seconds. */
  close(grace?: number): Promise<void>;
}

/** The maximum number of connections; further ones are closed at once. */
const MOST_CONNECTIONS = 4096;

/**
 * Listens for requests to a service.
 *
 * @throws RopewalkError if the port is in use or the host is not an address of this machine.
 */
export async function listen(service: ModelService, options: ListenOptions): Promise<Listening> {
  const { port, host, headersTimeout = 15, requestTimeout = 60 } = options;
  const { getRequestListener } = await import('@hono/node-server');
  const listener = getRequestListener((request, connection) => service.fetch(request, connection), {
    overrideGlobalObjects: false,
    errorHandler: () => new Response(null, { status: 500 }),
  });
  const server: Server = createServer(
    {
      headersTimeout: Math.ceil(1000 * headersTimeout),
      requestTimeout: Math.ceil(1000 * requestTimeout),
      // Node only checks for slow connections at this interval.
      connectionsCheckingInterval: Math.ceil((1000 * Math.min(headersTimeout, requestTimeout)) / 3),
      maxHeaderSize: 16384,
    },
    (request, response) => void listener(request, response),
  );
  server.maxConnections = MOST_CONNECTIONS;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') socket.destroy();
    else socket.end(plainError(error.code));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(readable(error, host, port)));
    server.listen(port, host, resolve);
  });
  const { port: actual } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}`,
    async close(grace = 30) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      await service.close(grace);
      server.closeIdleConnections();
      // Complete answers may still be on their way to slow readers.
      const timer = setTimeout(() => server.closeAllConnections(), 1000);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Anything that is not HTTP never reaches the service. */
function plainError(code: string | undefined): string {
  const [status, message] =
    code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ['408 Request Timeout', 'the request took too long to arrive.']
      : code === 'HPE_HEADER_OVERFLOW'
        ? ['431 Request Header Fields Too Large', 'the headers are too large.']
        : ['400 Bad Request', 'this is not valid HTTP.'];
  const body = JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null } });
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;
}

function readable(error: NodeJS.ErrnoException, host: string, port: number): unknown {
  const remedies: Readonly<Record<string, readonly MessagePart[]>> = {
    EADDRINUSE: said`port ${port} of ${host} is in use by another program; choose another one (${option('port')}).`,
    EACCES: said`port ${port} needs rights that you do not have; choose one above 1023 (${option('port')}).`,
    EADDRNOTAVAIL: said`${host} is not an address of this machine; give one (${option('host')}), such as 127.0.0.1 or 0.0.0.0.`,
    ENOTFOUND: said`the host ${host} is not known; give an address of this machine (${option('host')}).`,
  };
  const remedy = remedies[error.code ?? ''];
  return remedy === undefined ? error : new RopewalkError(remedy, { cause: error });
}
