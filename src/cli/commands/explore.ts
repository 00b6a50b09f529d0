import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { ABLATION_FILE } from '../../ablate/ablate.node.ts';
import { findContent, type SiteContent } from '../../explore/content.node.ts';
import { siteFiles } from '../../explore/files.node.ts';
import { type FoundModel, modelsIn } from '../../explore/models.node.ts';
import { type Explorer, serveSite } from '../../explore/serve.node.ts';
import { wholeNumber } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import { interruptSignal } from '../terminal/interrupt.ts';
import { printable } from '../terminal/printable.ts';

/** A fixed port, so that a browser finds the page at the same address again. */
const USUAL_PORT = 7373;
/** Shown if no model is named: the models of `npm start` and those of `npm run explorer:build`. */
const USUAL_MODELS = [join('ropewalk-runs', 'start'), join('ropewalk-runs', 'explorer', 'models')];
const USUAL_ABLATIONS = [join('ropewalk-runs', 'ablation'), join('ropewalk-runs', 'explorer', 'ablation')];
const NO_MODELS =
  'no trained models: "npm start" trains four; until then compare, train and open models in the page\n';

interface ExploreFlags {
  port?: number;
  host: string;
  open?: boolean;
}

export function register(program: Command): void {
  program
    .command('explore')
    .description('Serve a page that runs, compares and trains models in the browser.')
    .argument(
      '[models...]',
      'model directories, GGUF files, ids on the hub, folders of runs or of ablations; default: what "npm start" trained',
    )
    .option(
      '--port <n>',
      `port on this machine (default: ${USUAL_PORT}, or another if it is in use)`,
      wholeNumber,
    )
    .option(
      '--host <address>',
      'address to listen on; 0.0.0.0 lets other machines see the models',
      '127.0.0.1',
    )
    .option('--open', 'open the page in the browser')
    .addHelpText(
      'after',
      `
Examples:
  ropewalk explore
  ropewalk explore runs/llama path/to/model.gguf --open
  ropewalk explore ropewalk-runs/ablation
  ropewalk explore HuggingFaceTB/SmolLM2-135M-Instruct`,
    )
    .action(explore);
}

async function explore(names: string[], { port, host, open }: ExploreFlags): Promise<void> {
  const content = await chosenContent(names);
  const files = await siteFiles(content);
  const { signal, dispose } = interruptSignal(() => {});
  const explorer = await serve(files, port, host);
  try {
    for (const [kind, found] of Object.entries(content)) {
      const list = found.map(({ name }: { readonly name: string }) => printable(name)).join(', ');
      if (list !== '') process.stderr.write(`${kind}: ${list}\n`);
    }
    if (content.models.length === 0) process.stderr.write(NO_MODELS);
    process.stdout.write(`${explorer.address}\n`);
    process.stderr.write('Press Ctrl-C to stop.\n');
    if (open) openBrowser(explorer.address);
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    dispose();
    await explorer.close();
  }
}

async function chosenContent(names: readonly string[]): Promise<SiteContent> {
  if (names.length > 0) {
    const paths: string[] = [];
    for (const name of names) paths.push(existsSync(name) ? name : await modelPath(name));
    const content = await findContent(paths);
    // An ablation alone is shown with the default models.
    return content.models.length > 0 ? content : { ...content, models: await usualModels() };
  }
  // An unfinished ablation is not shown.
  const usual = USUAL_ABLATIONS.filter((path) => existsSync(join(path, ABLATION_FILE)));
  const { ablations } = await findContent(usual.slice(0, 1));
  return { models: await usualModels(), ablations };
}

async function usualModels(): Promise<FoundModel[]> {
  for (const path of USUAL_MODELS) {
    const models = existsSync(path) ? await modelsIn(path) : [];
    if (models.length > 0) return models;
  }
  return [];
}

async function serve(
  files: Awaited<ReturnType<typeof siteFiles>>,
  port: number | undefined,
  host: string,
): Promise<Explorer> {
  if (port !== undefined) return serveSite(files, { port, host });
  try {
    return await serveSite(files, { port: USUAL_PORT, host });
  } catch {
    return serveSite(files, { port: 0, host });
  }
}

/** Asks the system to open an address. If it cannot, the printed address suffices. */
function openBrowser(address: string): void {
  const [command, args] =
    process.platform === 'darwin'
      ? ['open', [address]]
      : process.platform === 'win32'
        ? ['cmd', ['/c', 'start', '', address]]
        : ['xdg-open', [address]];
  const child = spawn(command as string, args as string[], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}
