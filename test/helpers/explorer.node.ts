import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { findContent } from '../../src/explore/content.node.ts';
import { type SiteFile, siteFiles } from '../../src/explore/files.node.ts';
import { serveSite } from '../../src/explore/serve.node.ts';
import { root, SOFTWARE_WEBGPU, SWITCHES } from './browser.node.ts';

/** Where screenshots are kept: outside of version control. */
const SCREENSHOTS = join(root, 'coverage/explorer');

/** Builds a page into a folder, as `npm run build` does. */
export function buildPage(out: string, config = 'explorer/vite.config.ts'): void {
  const vite = join(root, 'node_modules/vite/bin/vite.js');
  const args = [vite, 'build', '--config', config, '--outDir', out, '--logLevel', 'warn'];
  const env = { ...process.env, NODE_ENV: 'production' };
  const built = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', env });
  if (built.status !== 0) throw new Error(`the page does not build: ${built.stdout}${built.stderr}`);
}

/** The explorer in a browser, with models of its own. */
export class OpenExplorer {
  readonly complaints: string[] = [];

  private constructor(
    readonly address: string,
    readonly page: Page,
    readonly browser: Browser,
    readonly folder: string,
    /** What is served, by address: a test may put something else in its place. */
    readonly files: Map<string, SiteFile>,
    readonly close: () => Promise<void>,
  ) {
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(message.text());
    });
  }

  /**
   * @param saveModels writes models, and ablations, into a folder and gives their paths.
   * @param options.webgpu whether the page has WebGPU, computed in software.
   */
  static async open(
    executablePath: string,
    saveModels: (folder: string) => Promise<readonly string[]>,
    { webgpu = false }: { readonly webgpu?: boolean } = {},
  ): Promise<OpenExplorer> {
    const folder = mkdtempSync(join(tmpdir(), 'ropewalk-explorer-'));
    buildPage(join(folder, 'page'));
    const content = await findContent(await saveModels(folder));
    const files = await siteFiles(content, join(folder, 'page'));
    const site = await serveSite(files, { port: 0 });
    const args = [...SWITCHES, ...(webgpu ? SOFTWARE_WEBGPU : ['--disable-gpu'])];
    const browser = await chromium.launch({ executablePath, args });
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(120_000);
    const close = async () => {
      await browser.close();
      await site.close();
      rmSync(folder, { recursive: true, force: true });
    };
    return new OpenExplorer(site.address, page, browser, folder, files, close);
  }

  /** Opens a state of the page by its address, from nothing. */
  async visit(hash: string): Promise<void> {
    await this.page.goto('about:blank');
    await this.page.goto(`${this.address}#/${hash}`);
    await this.page.waitForSelector('h1');
  }

  async screenshot(name: string): Promise<void> {
    mkdirSync(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
  }

  /** How many pixels of the page lie beside the window. */
  overflow(): Promise<number> {
    return this.page.evaluate('document.documentElement.scrollWidth - innerWidth');
  }
}
