import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, extname, join, normalize } from 'node:path';
import { chromium } from 'playwright-core';

/** The project's root, also from a program that has this in it: where the packages lie. */
export const root = join(dirname(createRequire(import.meta.url).resolve('vite/package.json')), '../..');

/** Where Chromium or Chrome usually is; CHROMIUM_PATH comes first. Undefined where there is none. */
export function findChromium(): string | undefined {
  const usual = [
    process.env.CHROMIUM_PATH,
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  ];
  return usual.find((path) => path && existsSync(path));
}

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

const HTML = `<!doctype html><meta charset="utf-8"><title>Ropewalk</title><link rel="icon" href="data:,">
<script type="importmap">{"imports": {
  "onnxruntime-web/wasm": "/ort/ort.wasm.min.mjs", "onnxruntime-web/webgpu": "/ort/ort.webgpu.min.mjs"
}}</script>
<script type="module" src="/page.js"></script>`;

/** Serves the page's program, onnxruntime-web and the reference cases on this machine's loopback address alone. */
async function serve(program: string) {
  const folders = { '/ort/': 'node_modules/onnxruntime-web/dist', '/reference/': 'test/reference' };
  const content = (path: string) => {
    if (path === '/index.html') return HTML;
    if (path === '/page.js') return program;
    for (const [prefix, folder] of Object.entries(folders)) {
      if (!path.startsWith(prefix)) continue;
      const file = join(root, folder, path.slice(prefix.length));
      if (existsSync(file)) return readFileSync(file);
    }
    return undefined;
  };
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url!, 'http://localhost').pathname);
    const body = content(path);
    response.writeHead(body === undefined ? 404 : 200, {
      'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
      // WebAssembly threads need a page that is isolated from other sites.
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { address: `http://127.0.0.1:${port}/index.html`, close: () => server.close() };
}

/** A web server that knows files and their types, on this machine alone, and sends no header more. */
export async function serveFolder(folder: string) {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://localhost').pathname);
    const file = join(folder, path.endsWith('/') ? `${path}index.html` : path);
    if (!existsSync(file)) response.writeHead(404).end();
    else
      response
        .writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'text/plain' })
        .end(readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://127.0.0.1:${port}/`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

export const SWITCHES = [
  '--headless',
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** WebGPU without a graphics card. */
export const SOFTWARE_WEBGPU = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
];

/**
 * Opens a page that runs `program`, a bundled module. Whatever the page complains of is in `complaints`.
 *
 * @param options.webgpu whether the page has WebGPU, computed in software; its address then ends in `?webgpu`.
 */
export async function openPage(
  executablePath: string,
  program: string,
  { webgpu = false }: { readonly webgpu?: boolean } = {},
) {
  const server = await serve(program);
  const args = [...SWITCHES, ...(webgpu ? SOFTWARE_WEBGPU : ['--disable-gpu'])];
  const browser = await chromium.launch({ executablePath, args });
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  await page.goto(webgpu ? `${server.address}?webgpu` : server.address);
  return {
    page,
    complaints,
    async close() {
      await browser.close();
      server.close();
    },
  };
}
