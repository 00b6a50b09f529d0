import { onAbort } from '../abort.ts';
import type { RepositoryKind } from './model-id.ts';
import { RequestError, type Timing } from './retry.ts';

/** A connection to a hub. */
export interface Connection {
  /** Such as `https://huggingface.co`, without a trailing slash. */
  readonly endpoint: string;
  readonly token?: string | undefined;
  /** The kind of repository; models by default. */
  readonly repository?: RepositoryKind | undefined;
  readonly timing: Timing;
  readonly signal?: AbortSignal | undefined;
  /** The route to the network; `fetch` by default. */
  readonly route?: Route | undefined;
}

/** A route to the network: direct, or through proxies. */
export interface Route {
  fetch(url: URL, options: RequestOptions): Promise<Response>;
  /** The proxy for an address, for messages; undefined if there is none. */
  proxyOf(url: URL): string | undefined;
}

export interface RequestOptions {
  readonly method: 'GET' | 'HEAD';
  readonly headers: Record<string, string>;
  readonly redirect: 'manual';
  readonly signal: AbortSignal;
}

const DIRECT: Route = { fetch: (url, options) => fetch(url, options), proxyOf: () => undefined };

/** An answer whose body is read piece by piece. Close it unless it was read completely. */
export interface Reply {
  readonly response: Response;
  /** The next bytes; undefined at the end. */
  read(): Promise<Uint8Array | undefined>;
  close(): void;
}

const MOST_REDIRECTS = 10;

/**
 * Requests `path` from the hub. Redirects are followed here rather than by `fetch`, for three reasons: the token is
 * sent only to the endpoint (files come from other hosts, through signed links), encryption is never dropped, and the
 * hub's headers before a redirect can be checked.
 *
 * A HEAD request stops at a redirect to another host, which refuses links that are signed for GET.
 * @param onHop receives the headers of every answer of the endpoint itself, including redirects
 */
export async function request(
  connection: Connection,
  path: string,
  {
    method = 'GET',
    headers = {},
    onHop = () => {},
  }: {
    method?: RequestOptions['method'];
    headers?: Record<string, string>;
    onHop?: (headers: Headers) => void;
  } = {},
): Promise<Reply> {
  const { endpoint, token, timing, signal, route = DIRECT } = connection;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const release = onAbort(signal, () => controller.abort(signal?.reason));
  let url = new URL(`${endpoint}${path}`);
  const home = url.origin;

  /** Waits for the network for at most `idleMs`. */
  const watched = async <T>(wait: () => Promise<T>): Promise<T> => {
    const late = () => {
      const seconds = timing.idleMs / 1000;
      controller.abort(
        new RequestError(`${url.host} has not answered for ${seconds} s; check the network`, 'unreachable'),
      );
    };
    const timer = setTimeout(late, timing.idleMs);
    try {
      return await wait();
    } catch (error) {
      throw requestError(error, url.host, route.proxyOf(url), signal);
    } finally {
      clearTimeout(timer);
    }
  };

  try {
    // Once redirected elsewhere, the token is not sent again, even if redirected back.
    let away = false;
    for (let redirects = 0; ; redirects++) {
      away ||= url.origin !== home;
      const shown: Record<string, string> = {
        ...headers,
        'user-agent': 'ropewalk',
        // Bytes are counted and requested by position, so they must not be encoded.
        'accept-encoding': 'identity',
        ...(token !== undefined && !away && { authorization: `Bearer ${token}` }),
      };
      const response = await watched(() =>
        route.fetch(url, { method, headers: shown, redirect: 'manual', signal: controller.signal }),
      );
      if (response.status === 407) throw proxyError(407, url.host, route.proxyOf(url));
      if (!away) onHop(response.headers);
      const location = response.headers.get('location');
      const leaves =
        method === 'HEAD' && URL.canParse(location ?? '', url) && new URL(location!, url).origin !== home;
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null || leaves) {
        return { response, ...body(response, watched, controller, release) };
      }
      await response.body?.cancel();
      if (redirects === MOST_REDIRECTS) {
        throw new RequestError(
          `${url.host} redirects more than ${MOST_REDIRECTS} times; check HF_ENDPOINT`,
          'final',
        );
      }
      url = redirected(url, location, endpoint);
    }
  } catch (error) {
    release();
    controller.abort();
    throw error;
  }
}

function body(
  response: Response,
  watched: <T>(wait: () => Promise<T>) => Promise<T>,
  controller: AbortController,
  release: () => void,
): Pick<Reply, 'read' | 'close'> {
  const reader = response.body?.getReader();
  return {
    async read() {
      const piece = reader && (await watched(() => reader.read()));
      if (piece && !piece.done) return piece.value;
      release();
      return undefined;
    },
    close() {
      release();
      controller.abort();
    },
  };
}

/** Reads a whole body of at most `most` bytes. */
export async function readAll(reply: Reply, most: number, name: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for (let piece = await reply.read(); piece; piece = await reply.read()) {
    pieces.push(piece);
    size += piece.byteLength;
    if (size > most) {
      reply.close();
      throw new RequestError(`${name}: the answer is longer than ${most} bytes; refused`, 'final');
    }
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.byteLength;
  }
  return all;
}

/** The target of a redirect, if it is followed. */
export function redirected(from: URL, location: string, endpoint: string): URL {
  const refused = (why: string) =>
    new RequestError(`${from.host} redirects ${why}; refused: check HF_ENDPOINT`, 'final');
  if (!URL.canParse(location, from)) throw refused('to an invalid address');
  const to = new URL(location, from);
  if (to.protocol !== 'https:' && to.protocol !== 'http:')
    throw refused(`to ${to.protocol} instead of https:`);
  if (to.username !== '' || to.password !== '') throw refused('to an address with a password in it');
  if (from.protocol === 'https:' && to.protocol === 'http:' && !isLoopbackHttp(new URL(endpoint))) {
    throw refused(`to ${to.host} without encryption`);
  }
  return to;
}

/** Whether an address is that of an unencrypted server on this machine. */
export function isLoopbackHttp({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && isLoopback(hostname);
}

/** Whether a URL's host is this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

const UNREACHABLE = [
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
];

/** The readable error for a proxy that refuses a request. */
function proxyError(status: number, host: string, proxy = 'the proxy'): RequestError {
  if (status === 407) {
    return new RequestError(
      `${proxy} requires a name and a password (407); set the variable as http://name:password@host:port`,
      'final',
    );
  }
  return new RequestError(
    `${proxy} does not connect to ${host} (${status}); check that variable, or list hosts to reach directly in NO_PROXY`,
    status >= 500 ? 'unreachable' : 'final',
  );
}

/** The readable error for an exception from `fetch` or a body's reader. */
function requestError(
  error: unknown,
  host: string,
  proxy: string | undefined,
  signal: AbortSignal | undefined,
): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof RequestError || !(error instanceof Error)) return error;
  let cause = error;
  while (cause.cause instanceof Error) cause = cause.cause;
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
  // undici's message if a proxy answers CONNECT with anything but 200.
  const [refused] =
    /\(\d{3}\)/.exec(/^Proxy (?:response|Authentication)/.test(cause.message) ? cause.message : '') ?? [];
  if (refused) return proxyError(Number(refused.slice(1, -1)), host, proxy);
  if (UNREACHABLE.includes(code)) {
    const text =
      proxy === undefined
        ? `cannot reach ${host} (${code}); check the network, HF_ENDPOINT, or HTTPS_PROXY if there is a proxy`
        : `cannot reach ${host} through ${proxy} (${code}); check that variable, or list hosts to reach directly in NO_PROXY`;
    return new RequestError(text, 'unreachable', { cause });
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL/.test(code)) {
    const text = `cannot trust ${host} (${code}): its certificate is not valid here; check the clock, or add a proxy's certificate with NODE_EXTRA_CA_CERTS`;
    return new RequestError(text, 'final', { cause });
  }
  const text = `the connection to ${host} was interrupted (${code || cause.message}); try again: the download will resume`;
  return new RequestError(text, 'passing', { cause });
}
