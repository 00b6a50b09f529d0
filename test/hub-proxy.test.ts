import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ropewalk } from './helpers/cli.node.ts';
import { COMMIT, type FakeHub, startHub } from './helpers/hub.node.ts';
import { CERTIFICATE, type FakeProxy, startProxy } from './helpers/proxy.node.ts';

/** No test asks any network: `hub.example` exists behind the proxy alone. */

const weights = randomBytes(300_000);
const files = {
  'config.json': Buffer.from('{"model_type": "llama"}'),
  'tokenizer.json': Buffer.from('{}'),
  'model.safetensors': weights,
};
const root = mkdtempSync(join(tmpdir(), 'ropewalk-proxy-'));
let hub: FakeHub;
let proxy: FakeProxy;
let count = 0;

beforeEach(async () => {
  hub = await startHub({ 'acme/rope': { commit: COMMIT, files } });
  // Storage without encryption would be refused: the hub gives the weights itself.
  hub.fault = (request: IncomingMessage, response: ServerResponse) => {
    if (!request.url!.endsWith('/model.safetensors')) return false;
    response.end(weights);
    return true;
  };
  proxy = await startProxy(hub.endpoint);
});
afterEach(async () => {
  await proxy.close();
  await hub.close();
});
afterAll(() => rmSync(root, { recursive: true }));

/** `ropewalk pull acme/rope` in an environment with nothing of this machine's about hubs and proxies. */
async function pull(environment: Record<string, string>) {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(?:HF_|HUGGING|TRANSFORMERS)|_PROXY$/i.test(name),
  );
  const cache = join(root, `cache${count++}`);
  const env = {
    ...Object.fromEntries(inherited),
    HF_HOME: root,
    HF_HUB_CACHE: cache,
    HF_HUB_DOWNLOAD_TIMEOUT: '20',
    ...environment,
  };
  // What a variable of this process says is taken back: helpers add to it.
  const unset = Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined]));
  const { code, stderr, stdout } = await ropewalk(['pull', 'acme/rope'], {
    env: { ...unset, ...env } as NodeJS.ProcessEnv,
  });
  return { code, stderr, path: stdout.trim() };
}

function expectWhole(path: string): void {
  for (const [name, data] of Object.entries(files)) {
    expect(readFileSync(join(path, name)).equals(data), name).toBe(true);
  }
}

describe('the hub client behind a proxy', () => {
  it('connects by CONNECT, giving credentials only to the proxy and the token only to the hub', async () => {
    const { code, stderr, path } = await pull({
      HF_ENDPOINT: 'https://hub.example',
      HF_TOKEN: 'hf_secret',
      HTTPS_PROXY: proxy.url.replace('://', '://me:pass%20word@'),
      NODE_EXTRA_CA_CERTS: CERTIFICATE,
    });
    expect(code, stderr).toBe(0);
    expectWhole(path);
    expect(proxy.asked.length).toBeGreaterThan(0);
    const basic = `Basic ${Buffer.from('me:pass word').toString('base64')}`;
    for (const { what, authorization } of proxy.asked) {
      expect([what, authorization]).toEqual(['CONNECT hub.example:443', basic]);
    }
    for (const { headers } of hub.requests) {
      expect(headers.authorization).toBe('Bearer hf_secret');
      expect(headers['proxy-authorization']).toBeUndefined();
    }
  });

  it('sends unencrypted requests to the proxy itself', async () => {
    const { code, stderr, path } = await pull({ HF_ENDPOINT: 'http://hub.example', http_proxy: proxy.url });
    expect(code, stderr).toBe(0);
    expectWhole(path);
    expect(proxy.asked.length).toBeGreaterThanOrEqual(4);
    for (const { what } of proxy.asked) expect(what).toMatch(/^GET http:\/\/hub\.example\//);
  });

  it('connects directly to hosts in NO_PROXY and to this machine', async () => {
    const named = await pull({
      HF_ENDPOINT: 'http://hub.example',
      HTTP_PROXY: proxy.url,
      NO_PROXY: 'other.example, .example',
    });
    expect(named.code).toBe(1);
    expect(named.stderr).toContain('cannot reach hub.example');
    const local = await pull({ HF_ENDPOINT: hub.endpoint, HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url });
    expect(local.code, local.stderr).toBe(0);
    expect(proxy.asked).toEqual([]);
  });

  it('says whether the hub or the proxy failed, without printing passwords', async () => {
    const https = {
      HF_ENDPOINT: 'https://hub.example',
      HTTPS_PROXY: proxy.url.replace('://', '://me:secret@'),
    };
    const http = { HF_ENDPOINT: 'http://hub.example', HTTP_PROXY: https.HTTPS_PROXY };
    // What a proxy that is asked for the address itself answers with 403 cannot be told from the hub's own.
    for (const [status, pattern, environments] of [
      [407, /requires a name and a password \(407\)/, [https, http]],
      [403, /the proxy 127\.0\.0\.1:\d+ \(HTTPS_PROXY\) does not connect to hub\.example.* \(403\)/, [https]],
    ] as const) {
      proxy.refuse = status;
      for (const environment of environments) {
        const { code, stderr } = await pull(environment);
        expect(code).toBe(1);
        expect(stderr).toMatch(pattern);
        expect(stderr).not.toContain('secret');
        expect(stderr.trim().split('\n')).toHaveLength(1);
      }
    }
    proxy.refuse = undefined;
    expect((await pull(https)).stderr).toMatch(/cannot trust hub\.example.*NODE_EXTRA_CA_CERTS/);
    await proxy.close();
    expect((await pull(https)).stderr).toMatch(
      /cannot reach hub\.example through the proxy 127\.0\.0\.1:\d+ \(HTTPS_PROXY\) \(ECONNREFUSED\)/,
    );
    proxy = await startProxy(hub.endpoint);
    expect((await pull({ ...http, HTTP_PROXY: 'socks5://me:secret@x' })).stderr).toMatch(
      /HTTP_PROXY contains a SOCKS proxy/,
    );
    expect(existsSync(join(root, 'models--acme--rope'))).toBe(false);
  });
});
