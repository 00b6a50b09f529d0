import { RopewalkError } from '../errors.ts';
import { isLoopback, type Route } from './request.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The route described by HTTPS_PROXY, HTTP_PROXY (ALL_PROXY if the one for an address is not set) and NO_PROXY, in
 * upper or lower case, as in curl and Python: each applies to addresses of its own scheme, a proxy may be given
 * without `http://`, and this machine is always reached directly. Undefined if none is set.
 *
 * Node 20 and 22 respect these variables only in processes started with a flag, so undici, the library behind Node's
 * `fetch`, is used as a separate package.
 *
 * @throws RopewalkError naming a variable that is not a valid proxy.
 */
export function proxyRoute(env: Environment): Route | undefined {
  const set = (name: string) => [env[name.toLowerCase()], env[name]].find((value) => (value ?? '') !== '');
  const all = proxy('ALL_PROXY', set('ALL_PROXY'));
  const proxies: Readonly<Record<string, Proxy | undefined>> = {
    'https:': proxy('HTTPS_PROXY', set('HTTPS_PROXY')) ?? all,
    // Not HTTP_PROXY in a CGI program, where it comes from a request header.
    'http:':
      proxy('HTTP_PROXY', env.REQUEST_METHOD === undefined ? set('HTTP_PROXY') : env.http_proxy) ?? all,
  };
  if (!proxies['https:'] && !proxies['http:']) return undefined;
  const noProxy = set('NO_PROXY') ?? '';
  const proxyOf = (url: URL) => (isLoopback(url.hostname) ? undefined : proxies[url.protocol]);
  return {
    async fetch(url, options) {
      if (!proxyOf(url)) return fetch(url, options);
      const undici = await import('undici');
      const key = JSON.stringify([proxies, noProxy]);
      let agent = agents.get(key);
      if (!agent) {
        agent = new undici.EnvHttpProxyAgent({
          httpsProxy: proxies['https:']?.url ?? '',
          httpProxy: proxies['http:']?.url ?? '',
          noProxy,
          // Unencrypted requests go to the proxy itself, because many proxies refuse tunnels to port 80.
          proxyTunnel: false,
        });
        agents.set(key, agent);
      }
      return (await undici.fetch(url, { ...options, dispatcher: agent })) as unknown as Response;
    },
    proxyOf: (url) => {
      const { name, host } = proxyOf(url) ?? {};
      return name === undefined ? undefined : `the proxy ${host} (${name})`;
    },
  };
}

/** An agent keeps its connections; there is one per set of proxies. */
const agents = new Map<string, import('undici').EnvHttpProxyAgent>();

interface Proxy {
  /** The variable that sets it, for messages. */
  readonly name: string;
  readonly url: string;
  /** Its host and port, which messages may show; the rest may contain a password. */
  readonly host: string;
}

function proxy(name: string, text: string | undefined): Proxy | undefined {
  if (text === undefined || text === '') return undefined;
  const address = text.includes('://') ? text : `http://${text}`;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url && ['http:', 'https:'].includes(url.protocol) && url.hostname !== '') {
    return { name, url: url.href, host: url.host };
  }
  // The value is not shown, because it may contain a password.
  const what =
    url && /^socks/.test(url.protocol) ? 'a SOCKS proxy, which is not supported' : 'no valid proxy address';
  throw new RopewalkError(`${name} contains ${what}; set it as http://host:port, or unset it`);
}
