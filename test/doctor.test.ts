import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { environmentReport } from '../src/cli/doctor/environment.ts';
import { ROOT, ropewalk } from './helpers/cli.node.ts';

const env = {
  ...process.env,
  HF_TOKEN: 'hf_verysecret123',
  HF_HUB_CACHE: '/nowhere/hub',
  HTTPS_PROXY: 'http://me:topsecret@proxy.example:3128',
  HF_ENDPOINT: 'https://hub.example',
};

describe('ropewalk doctor', () => {
  it('prints what a bug report needs as JSON, without secrets', async () => {
    const { code, stdout, stderr } = await ropewalk(['doctor', '--json'], { env });
    expect(code, stderr).toBe(0);
    expect(stdout).not.toMatch(/verysecret|topsecret/);
    const report = JSON.parse(stdout);
    const { version, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect(report).toMatchObject({
      ropewalk: version,
      node: process.versions.node,
      platform: { os: process.platform, arch: process.arch },
      engine: { onnxruntime: dependencies['onnxruntime-node'], cpu: 'works' },
      hub: {
        endpoint: 'https://hub.example',
        cache: '/nowhere/hub',
        token: true,
        proxy: 'the proxy proxy.example:3128 (HTTPS_PROXY)',
      },
      environment: { HF_TOKEN: '(set, not shown)', HTTPS_PROXY: 'http://***@proxy.example:3128' },
    });
    expect(report.processor.cores).toBeGreaterThan(0);
    expect(report.memory.total).toBeGreaterThan(0);
    expect(report.engine.providers).toContain('cpu');
    expect(typeof report.engine.cInterface).toBe('boolean');
    expect(report.engine.webgpu).toMatch(/works|does not work: |not in this build/);
    for (const [name, wanted] of Object.entries(dependencies))
      expect(report.packages[name], name).toBe(wanted);
  });

  it('prints it in readable form, and says what is wrong with settings', async () => {
    const { code, stdout, stderr } = await ropewalk(['doctor'], {
      env: { ...env, HF_ENDPOINT: 'https://a:topsecret@x' },
    });
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^ropewalk +\d/m);
    expect(stdout).toMatch(/^ {2}wrong .*not the address of a hub/m);
    expect(stdout).not.toMatch(/verysecret|topsecret/);
  });

  it('shows relevant variables, never the value of a secret', () => {
    expect(
      environmentReport({
        HF_TOKEN: 'x',
        HUGGING_FACE_HUB_TOKEN: 'x',
        HF_TOKEN_PATH: '/home/me/token',
        https_proxy: 'me:pw@host:1',
        NODE_OPTIONS: '--x=http://u:p@h/ hf_abcdefgh12',
        ORT_LOG: '',
        HOME: '/home/me',
        AWS_SECRET_ACCESS_KEY: 'x',
        LANG: 'ko_KR.UTF-8',
      }),
    ).toEqual({
      HF_TOKEN: '(set, not shown)',
      HF_TOKEN_PATH: '/home/me/token',
      HUGGING_FACE_HUB_TOKEN: '(set, not shown)',
      LANG: 'ko_KR.UTF-8',
      NODE_OPTIONS: '--x=http://***@h/ hf_***',
      https_proxy: '***@host:1',
    });
  });
});

describe('the package', () => {
  it('runs no install script of onnxruntime-node, which reaches for another network', () => {
    // npm runs the scripts of packages that the lock file marks, and an option of .npmrc that it does not know would be
    // warned of. "npm install" can put the mark back: remove it again.
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
    expect(packages['node_modules/onnxruntime-node'].hasInstallScript).toBeUndefined();
    expect(readFileSync(join(ROOT, '.npmrc'), 'utf8')).toBe('omit-lockfile-registry-resolved=true\n');
  });

  it('depends on no deprecated packages, about which npm warns', () => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
    expect(Object.keys(packages).filter((name) => packages[name].deprecated)).toEqual([]);
  });
});
