import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findContent } from '../src/explore/content.node.ts';
import { siteFiles } from '../src/explore/files.node.ts';
import { type Explorer, serveSite } from '../src/explore/serve.node.ts';
import { madeUpAblation } from './helpers/ablation.ts';
import { saveUntrained } from './helpers/models.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-explore-'));
const page = join(folder, 'page');

/** As a client that does not tidy up addresses. */
function ask(explorer: Explorer, path: string, method = 'GET', headers: Record<string, string> = {}) {
  const { hostname, port } = new URL(explorer.address);
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>(
    (resolve, reject) => {
      request({ hostname, port, path, method, headers }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          body += part;
        });
        response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body }));
      })
        .on('error', reject)
        .end();
    },
  );
}

describe('the server of ropewalk explore', () => {
  let explorer: Explorer;
  beforeAll(async () => {
    mkdirSync(join(page, 'assets'), { recursive: true });
    writeFileSync(join(page, 'index.html'), '<!doctype html>');
    writeFileSync(join(page, 'assets/index-1.js'), 'export {};');
    writeFileSync(join(folder, 'secret.txt'), 'secret');
    await saveUntrained(join(folder, 'run/gpt model'));
    await saveUntrained(join(folder, 'run/llama'));
    writeFileSync(join(folder, 'run/llama/secret.key'), 'secret');
    const content = await findContent([join(folder, 'run'), join(folder, 'run/llama')]);
    explorer = await serveSite(await siteFiles(content, page), { port: 0 });
  });
  afterAll(async () => {
    await explorer.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('serves the page, isolated from other sites', async () => {
    const { status, headers, body } = await ask(explorer, '/');
    expect([status, body]).toEqual([200, '<!doctype html>']);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['cross-origin-opener-policy']).toBe('same-origin');
    expect(headers['cross-origin-embedder-policy']).toBe('require-corp');
    expect((await ask(explorer, '/assets/index-1.js?x')).headers['cache-control']).toContain('immutable');
    expect((await ask(explorer, '/engine/ort-wasm-simd-threaded.wasm', 'HEAD')).headers).toMatchObject({
      'content-type': 'application/wasm',
    });
  });

  it('lists the models of a run, each once with its own id', async () => {
    const { models } = JSON.parse((await ask(explorer, '/models.json')).body);
    expect(models.map(({ id, name }: { id: string; name: string }) => [id, name])).toEqual([
      ['gpt-model', 'gpt model'],
      ['llama', 'llama'],
      ['llama-2', 'llama'],
    ]);
    expect(models[0].files).toEqual([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    const config = await ask(explorer, '/models/gpt-model/config.json');
    expect(JSON.parse(config.body).model_type).toBe('llama');
  });

  it('lists and serves ablations, and refuses those that are not finished or no ablations', async () => {
    const [done, begun] = ['done', 'begun'].map((name) => join(folder, name));
    for (const path of [done!, begun!]) mkdirSync(path);
    const result = madeUpAblation();
    writeFileSync(join(done!, 'ablation.json'), JSON.stringify(result));
    writeFileSync(join(begun!, 'runs.json'), '{}');
    const content = await findContent([done!, join(done!, 'ablation.json')]);
    expect(content.ablations.map(({ id, name }) => [id, name])).toEqual([
      ['done', 'gpt → llama3 (done)'],
      ['done-2', 'gpt → llama3 (done)'],
    ]);
    const site = await serveSite(await siteFiles(content, page), { port: 0 });
    expect(JSON.parse((await ask(site, '/ablations/done-2.json')).body)).toEqual(
      JSON.parse(JSON.stringify(result)),
    );
    expect(JSON.parse((await ask(site, '/models.json')).body).ablations.length).toBe(2);
    await site.close();
    await expect(findContent([begun!])).rejects.toThrow(/is not finished; run the same "ropewalk ablate"/);
    await expect(findContent([join(begun!, 'runs.json')])).rejects.toThrow(/the field "settings"/);
  });

  it('serves nothing outside the site', async () => {
    const paths = [
      '/../secret.txt',
      '/..%2fsecret.txt',
      '/assets/../../secret.txt',
      '/assets/..%5c..%5csecret.txt',
      '//etc/passwd',
      '/models/llama/secret.key',
      '/models/llama/../../../secret.txt',
      '/models/llama/%00',
      '/%',
      '/models',
    ];
    for (const path of paths) expect([path, (await ask(explorer, path)).status]).toEqual([path, 404]);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      expect([method, (await ask(explorer, '/', method)).status]).toEqual([method, 405]);
    }
  });

  it('resends only what has changed', async () => {
    const { headers } = await ask(explorer, '/models.json');
    const again = await ask(explorer, '/models.json', 'GET', { 'if-none-match': String(headers.etag) });
    expect([again.status, again.body]).toEqual([304, '']);
  });

  it('reports a port that is taken', async () => {
    const port = Number(new URL(explorer.address).port);
    await expect(serveSite(new Map(), { port })).rejects.toThrow(
      /cannot serve on port \d+ of 127.0.0.1: it is in use; choose another \(port\)/,
    );
  });

  it('reports a missing model or page', async () => {
    await expect(findContent([page])).rejects.toThrow(/there is no model; name a model directory/);
    await expect(findContent([join(folder, 'nothing')])).rejects.toThrow(/cannot open .*nothing/);
    await expect(siteFiles({ models: [], ablations: [] }, join(folder, 'no-page'))).rejects.toThrow(
      /the page has not been built; run/,
    );
  });
});
