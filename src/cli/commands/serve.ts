import { basename } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { type Command, InvalidArgumentError } from 'commander';
import { RopewalkError } from '../../errors.ts';
import { load } from '../../generation/load.node.ts';
import { listen } from '../../serve/listen.node.ts';
import type { LogEntry } from '../../serve/log.ts';
import { playgroundPage } from '../../serve/page.node.ts';
import { serve } from '../../serve/serve.ts';
import type { ModelService } from '../../serve/service.ts';
import { addDecoderOptions, type DecoderFlags, decoderOptions } from '../options/models.ts';
import { byteSize, collect, count, positive, wholeNumber } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';

interface ServeFlags extends DecoderFlags {
  port: number;
  host: string;
  apiKey?: string[];
  maxSequences: number;
  maxQueue: number;
  context?: number;
  prefixCache: number;
  maxBody: number;
  timeout: number;
  idle?: number;
  lazy?: boolean;
  cors?: string[];
  allowedHosts?: string[];
  grace: number;
  logPrompts?: boolean;
  page: boolean;
  quiet?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('serve')
    .description('Serve models through the OpenAI API, many requests at once, with a chat page.')
    .argument('<models...>', 'directories, GGUF files or ids on the hub; NAME=MODEL names one')
    .option('--port <n>', 'port; 0 takes a free one', port, 8080)
    .option('--host <address>', 'address to listen on; 0.0.0.0 accepts other machines too', '127.0.0.1')
    .option(
      '--api-key <key>',
      'key that clients must send; may be given several times (ROPEWALK_API_KEY instead hides it from other users of the machine)',
      collect,
    )
    .option('--max-sequences <n>', 'completions that run at the same time, in one batch', count, 8)
    .option('--max-queue <n>', 'completions that may wait; more are answered with 429', wholeNumber, 64)
    .option(
      '--context <n>',
      'most tokens of prompt and completion together (default: all positions of the model)',
      count,
    )
    .option(
      '--prefix-cache <size>',
      'memory per model for prefixes that prompts share, in bytes or such as 512MB; 0 for none',
      cacheSize,
      2 ** 29,
    )
    .option('--max-body <size>', 'largest request body, in bytes or such as 4MB', byteSize, 4 * 2 ** 20)
    .option('--timeout <seconds>', 'time limit of a request', positive, 600)
    .option('--idle <seconds>', 'unload a model that has not been used for this long', positive)
    .option('--lazy', 'load each model on its first request')
    .option(
      '--cors <origin>',
      'allow web pages of this origin, or * for all; may be given several times',
      collect,
    )
    .option('--allowed-hosts <names>', 'host names accepted in requests, separated by commas', nameList)
    .option('--grace <seconds>', 'how long requests may continue after SIGTERM or Ctrl-C', positive, 30)
    .option('--no-page', 'do not serve the chat page at /')
    .option('--log-prompts', 'include prompts and messages in the log')
    .option('--quiet', 'do not log each request')
    .addHelpText(
      'after',
      `
Examples:
  ropewalk serve path/to/model
  ropewalk serve small=model-q4.gguf large=org/name --max-sequences 16
  curl http://127.0.0.1:8080/v1/chat/completions -H "Content-Type: application/json" \\
    -d '{"model": "small", "messages": [{"role": "user", "content": "Hello"}]}'`,
    )
    .action(run);
  addDecoderOptions(command);
}

/**
 * A server's live heap is small and its garbage plenty. By default V8 lets a heap grow to several times what lives in it
 * before it collects, and resident memory with it. The flag holds for the threads of models as well.
 */
const COLLECT_EARLY = '--heap-growing-percent=10';

async function run(models: string[], flags: ServeFlags): Promise<void> {
  setFlagsFromString(COLLECT_EARLY);
  const named = namesOf(models);
  const keys = [
    ...(flags.apiKey ?? []),
    ...(process.env.ROPEWALK_API_KEY ? [process.env.ROPEWALK_API_KEY] : []),
  ];
  if (keys.includes('')) throw new RopewalkError('an API key is empty; give --api-key KEY.');
  const settings = decoderOptions(flags);
  // With 8-bit activations, a cached prefix would change the answer.
  const rounds =
    flags.activations === 'int8' ||
    (flags.activations === undefined && typeof settings.quantize === 'object');
  const loaded = Object.entries(named).map(async ([name, model]) => {
    const path = await modelPath(model);
    const open = () =>
      load(path, {
        ...settings,
        sequences: flags.maxSequences,
        ...(!rounds && flags.prefixCache > 0 && { prefixCacheBytes: flags.prefixCache }),
      });
    return [name, open] as const;
  });
  const log = (entry: LogEntry) => {
    if (flags.quiet && entry.event === 'request') return;
    process.stderr.write(`${JSON.stringify(entry)}\n`);
  };
  const sources = Object.fromEntries(await Promise.all(loaded));
  const service = await serve(sources, {
    apiKeys: keys,
    cors: flags.cors,
    allowedHosts: hostsOf(flags),
    maxBodyBytes: flags.maxBody,
    context: flags.context,
    maxQueue: flags.maxQueue,
    timeout: flags.timeout,
    idle: flags.idle,
    page: flags.page ? await playgroundPage() : undefined,
    logPrompts: flags.logPrompts,
    log,
    onLoad: (name, model) => {
      for (const warning of model.warnings) process.stderr.write(`${name}: ${warning}\n`);
      process.stderr.write(`${name}: ${batchingText(model.batching)}\n`);
    },
  });
  try {
    if (!flags.lazy) await service.load();
  } catch (error) {
    await service.close(0);
    throw error instanceof Error && error.name === 'ApiError' ? new RopewalkError(error.message) : error;
  }
  await untilStopped(service, flags);
}

async function untilStopped(service: ModelService, { host, port: wanted, grace }: ServeFlags): Promise<void> {
  let server: Awaited<ReturnType<typeof listen>>;
  try {
    server = await listen(service, { host, port: wanted });
  } catch (error) {
    await service.close(0);
    throw error;
  }
  process.stdout.write(`listening at ${server.url}\n`);
  await new Promise<void>((resolve) => {
    let times = 0;
    const stop = () => {
      if (++times > 1) process.exit(130);
      process.stderr.write('stopping: requests that run may end\n');
      resolve();
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
  });
  await server.close(grace);
}

function batchingText({
  sequences,
  together,
  reason,
}: {
  sequences: number;
  together: boolean;
  reason?: string;
}) {
  if (sequences === 1) return 'one completion at a time';
  return together
    ? `up to ${sequences} completions run together, each with the tokens that it has alone`
    : `up to ${sequences} completions take turns: ${reason}`;
}

/** `NAME=MODEL`, or a model named by the last part of its path or id. */
function namesOf(models: readonly string[]): Record<string, string> {
  const named: Record<string, string> = {};
  for (const argument of models) {
    const [, given, rest] = /^([\w.:-]+)=(.+)$/.exec(argument) ?? [];
    const model = rest ?? argument;
    const name = given ?? basename(model.replace(/[\\/]+$/, '')).replace(/\.gguf$/i, '');
    if (name in named) {
      throw new RopewalkError(`two models are called ${name}; name one of them: other-name=${model}.`);
    }
    named[name] = model;
  }
  return named;
}

/** Names of this machine that a local browser may use, and those that were given. */
function hostsOf({ host, allowedHosts = [] }: ServeFlags): string[] | undefined {
  if (allowedHosts.includes('*')) return undefined;
  const own = host === '0.0.0.0' || host === '::' ? [] : [host.includes(':') ? `[${host}]` : host];
  return ['localhost', '127.0.0.1', '[::1]', ...own, ...allowedHosts];
}

function port(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value < 65536 && text.trim() !== '') return value;
  throw new InvalidArgumentError('Give a port from 0 to 65535.');
}

function cacheSize(text: string): number {
  return text === '0' ? 0 : byteSize(text);
}

function nameList(text: string): string[] {
  return text.split(',').map((name) => name.trim());
}
