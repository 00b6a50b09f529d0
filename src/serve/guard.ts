import { ApiError } from './api-error.ts';
import type { ServeOptions } from './options.ts';

const ALLOWED_HEADERS = 'Authorization, Content-Type, X-Request-Id, X-Stainless-*';

/** Checks who may send requests: by host name, page origin and API key. */
export class Guard {
  readonly #hosts: ReadonlySet<string> | undefined;
  readonly #origins: ReadonlySet<string>;
  readonly #keys: readonly string[];

  constructor({ allowedHosts, cors = [], apiKeys = [] }: ServeOptions) {
    this.#hosts = allowedHosts && new Set(allowedHosts.map((name) => name.toLowerCase()));
    this.#origins = new Set(cors.map((origin) => origin.replace(/\/$/, '').toLowerCase()));
    this.#keys = apiKeys;
  }

  /** @throws ApiError 403 for a host name that is not allowed. */
  checkHost(request: Request): void {
    if (!this.#hosts) return;
    const name = hostName(request.headers.get('host') ?? new URL(request.url).host);
    // No other site can have an address as its name.
    if (name !== undefined && (isAddress(name) || this.#hosts.has(name))) return;
    throw new ApiError(
      403,
      `the host name ${JSON.stringify((name ?? '').slice(0, 100))} is not allowed; the server's operator can allow it (allowedHosts).`,
      { code: 'host_not_allowed' },
    );
  }

  /**
   * @returns headers for the response to an allowed page of another origin.
   * @throws ApiError 403 if the origin is not allowed.
   */
  checkOrigin(request: Request): Readonly<Record<string, string>> {
    const origin = request.headers.get('origin');
    if (origin === null || isOwn(origin, request)) return {};
    const any = this.#origins.has('*');
    if (!any && !this.#origins.has(origin.toLowerCase())) {
      throw new ApiError(
        403,
        `pages of ${JSON.stringify(origin.slice(0, 100))} may not ask this server; whoever runs it can allow them (cors).`,
        { code: 'origin_not_allowed' },
      );
    }
    return { 'Access-Control-Allow-Origin': any ? '*' : origin, ...(any ? {} : { Vary: 'Origin' }) };
  }

  /** A browser's preflight request. */
  preflight(headers: Readonly<Record<string, string>>, request: Request): Response {
    const asked = request.headers.get('access-control-request-headers');
    return new Response(null, {
      status: 204,
      headers: {
        ...headers,
        'Access-Control-Allow-Methods': 'GET, POST, OPTIONS',
        'Access-Control-Allow-Headers':
          asked && /^[\w-]+(\s*,\s*[\w-]+)*$/.test(asked) ? asked : ALLOWED_HEADERS,
        'Access-Control-Max-Age': '600',
      },
    });
  }

  /**
   * @returns an identifier of the key, for fairness between clients.
   * @throws ApiError 401 without a valid key.
   */
  async checkKey(request: Request): Promise<string> {
    if (this.#keys.length === 0) return '';
    const header = request.headers.get('authorization') ?? '';
    const given = /^Bearer\s+(.+)$/i.exec(header)?.[1]?.trim();
    const digest = await sha256(given ?? '');
    let found = -1;
    for (const [i, key] of this.#keys.entries()) if (sameBytes(await sha256(key), digest)) found = i;
    if (given !== undefined && found >= 0) return `key ${found}`;
    throw new ApiError(
      401,
      given === undefined
        ? 'an API key is required: send it as "Authorization: Bearer KEY".'
        : 'the API key is not valid.',
      { code: 'invalid_api_key', headers: { 'WWW-Authenticate': 'Bearer' } },
    );
  }
}

/** The name in a Host header, without its port. */
function hostName(host: string): string | undefined {
  return /^(\[[\da-f:.]+\]|[^:/?#@\s\\]+)(?::\d{1,5})?$/i.exec(host)?.[1]?.toLowerCase();
}

function isAddress(name: string): boolean {
  return name.startsWith('[') || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);
}

function isOwn(origin: string, request: Request): boolean {
  const host = request.headers.get('host') ?? new URL(request.url).host;
  return origin.toLowerCase().replace(/^https?:\/\//, '') === host.toLowerCase();
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
}

/** In constant time: digests have the same length. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}
