import { RopewalkError } from '../errors.ts';
import { isLoopback, type Route } from './request.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The way to the network that HTTPS_PROXY, HTTP_PROXY (ALL_PROXY where the one for an address is not set) and NO_PROXY
 * describe, in capitals or not, as curl and Python read them: each is for addresses of its own scheme, a proxy may be
 * given without `http://`, and this machine is always reached directly. undefined where none is set.
 *
 * Node 20 and 22 heed these variables only in processes that were started for it, so undici, the library inside Node's
 * `fetch`, is used as a package of its own.
 *
 * @throws RopewalkError naming a variable that holds no proxy.
 */
export function proxyRoute(env: Environment): Route | undefined {
  const set = (name: string) => [env[name.toLowerCase()], env[name]].find((value) => (value ?? '') !== '');
  const all = proxy('ALL_PROXY', set('ALL_PROXY'));
  const proxies: Readonly<Record<string, Proxy | undefined>> = {
    'https:': proxy('HTTPS_PROXY', set('HTTPS_PROXY')) ?? all,
    // Not HTTP_PROXY in a CGI program: there it is a header of the request.
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
          // Addresses without encryption are asked of the proxy itself: many refuse tunnels to port 80.
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

/** An agent keeps its connections; there is one for each set of proxies. */
const agents = new Map<string, import('undici').EnvHttpProxyAgent>();

interface Proxy {
  /** The variable that names it, for messages. */
  readonly name: string;
  readonly url: string;
  /** Its host and port: what messages may show, while the rest may hold a password. */
  readonly host: string;
}

function proxy(name: string, text: string | undefined): Proxy | undefined {
  if (text === undefined || text === '') return undefined;
  const address = text.includes('://') ? text : `http://${text}`;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url && ['http:', 'https:'].includes(url.protocol) && url.hostname !== '') {
    return { name, url: url.href, host: url.host };
  }
  // The value is not shown: it may hold a password.
  const what = url && /^socks/.test(url.protocol) ? 'a SOCKS proxy, which is not supported' : 'no proxy';
  throw new RopewalkError(`${name} holds ${what}; set it as http://host:port, or unset it`);
}
