import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';

/** The certificate of `hub.example` that {@link startProxy} shows, signed by itself; for NODE_EXTRA_CA_CERTS. */
export const CERTIFICATE = fileURLToPath(new URL('./certificate/certificate.pem', import.meta.url));
const KEY = fileURLToPath(new URL('./certificate/key.pem', import.meta.url));

export interface FakeProxy {
  readonly url: string;
  /** What was asked for: `GET http://hub.example/…` or `CONNECT hub.example:443`, and with which credentials. */
  readonly asked: { readonly what: string; readonly authorization: string | undefined }[];
  /** A status with which everything is refused; undefined for none. */
  refuse: number | undefined;
  close(): Promise<void>;
}

/**
 * A proxy on this machine that takes every host for one server: it passes requests for `http:` on, and answers CONNECT
 * with a connection that speaks TLS for `hub.example`.
 *
 * @param target the server that all of them reach.
 */
export async function startProxy(target: string): Promise<FakeProxy> {
  const sockets = new Set<Socket>();
  const proxy: FakeProxy = { url: '', asked: [], refuse: undefined, close };

  const pass = (from: IncomingMessage, path: string, respond: ServerResponse) => {
    const onward = request(`${target}${path}`, { method: from.method!, headers: from.headers }, (answer) => {
      respond.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(respond);
    });
    onward.on('error', () => respond.destroy());
    from.pipe(onward);
  };
  const note = (what: string, { headers }: IncomingMessage) =>
    proxy.asked.push({ what, authorization: headers['proxy-authorization'] });

  const secure = createTlsServer(
    { key: readFileSync(KEY), cert: readFileSync(CERTIFICATE) },
    (from, respond) => pass(from, from.url!, respond),
  );
  const plain = createServer((from, respond) => {
    note(`${from.method} ${from.url}`, from);
    if (proxy.refuse !== undefined) respond.writeHead(proxy.refuse).end();
    else pass(from, new URL(from.url!).pathname + new URL(from.url!).search, respond);
  });
  plain.on('connect', (from: IncomingMessage, socket: Socket) => {
    note(`CONNECT ${from.url}`, from);
    if (proxy.refuse !== undefined) {
      socket.end(`HTTP/1.1 ${proxy.refuse} Refused\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const inner = connect((secure.address() as AddressInfo).port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(inner).pipe(socket);
    });
    for (const end of [socket, inner]) {
      sockets.add(end);
      end.on('error', () => {});
      end.on('close', () => sockets.delete(end));
    }
  });
  for (const server of [secure, plain]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  }

  async function close(): Promise<void> {
    for (const socket of sockets) socket.destroy();
    for (const server of [plain, secure]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
  return Object.assign(proxy, { url: `http://127.0.0.1:${(plain.address() as AddressInfo).port}` });
}
