import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { errorCode, fileError } from '../files/file-errors.ts';
import { type ModelId, parseModelId, type RepositoryKind } from './model-id.ts';
import { proxyRoute } from './proxy.node.ts';
import { isLoopbackHttp, type Route } from './request.ts';
import type { Timing } from './retry.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Where models come from and where they are stored: the given options, or else what Python's huggingface_hub would
 * use.
 */
export interface HubSettings {
  readonly endpoint: string;
  readonly cache: string;
  readonly token: string | undefined;
  readonly offline: boolean;
  /** Whether files in a snapshot are links to blobs; false if the user disables them (HF_HUB_DISABLE_SYMLINKS). */
  readonly symlinks: boolean;
  readonly timing: Timing;
  /** The route through proxies, if the environment sets any. */
  readonly route: Route | undefined;
}

export interface HubOptions {
  readonly token?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly cache?: string | undefined;
  readonly offline?: boolean | undefined;
}

/** @throws RopewalkError for an invalid endpoint, token or token file */
export function hubSettings(options: HubOptions = {}, env: Environment = process.env): HubSettings {
  const set = (name: string) => (env[name] === undefined || env[name] === '' ? undefined : env[name]);
  const path = (name: string) => set(name) && expand(set(name)!, env);
  const flag = (name: string) => /^(1|on|yes|true)$/i.test(env[name] ?? '');
  const home = path('HF_HOME') ?? join(path('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  const endpoint = hubEndpoint(options, env);
  const given = options.token ?? set('HF_TOKEN') ?? set('HUGGING_FACE_HUB_TOKEN');
  const token = checkToken(given ?? readToken(path('HF_TOKEN_PATH') ?? join(home, 'token')));
  if (token !== undefined && endpoint.startsWith('http:') && !isLoopbackHttp(new URL(endpoint))) {
    throw new RopewalkError(
      `the token would be sent to ${endpoint} without encryption; use https in HF_ENDPOINT, or unset HF_TOKEN`,
    );
  }
  return {
    endpoint,
    cache: options.cache ?? path('HF_HUB_CACHE') ?? path('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub'),
    token,
    offline: options.offline ?? (flag('HF_HUB_OFFLINE') || flag('TRANSFORMERS_OFFLINE')),
    symlinks: !flag('HF_HUB_DISABLE_SYMLINKS'),
    timing: {
      idleMs: 1000 * seconds('HF_HUB_DOWNLOAD_TIMEOUT', set('HF_HUB_DOWNLOAD_TIMEOUT'), 30),
      backoffMs: 500,
      longestWaitMs: 120_000,
    },
    route: proxyRoute(env),
  };
}

function hubEndpoint(options: HubOptions, env: Environment): string {
  return checkEndpoint(options.endpoint ?? (env.HF_ENDPOINT || 'https://huggingface.co'));
}

/**
 * The repository that a text refers to: an id, or an address of the configured hub.
 *
 * @returns undefined for other texts.
 * @throws RopewalkError for an address of anything else.
 */
export function repositoryNamed(
  text: string,
  kind: RepositoryKind,
  options: HubOptions = {},
): ModelId | undefined {
  return parseModelId(text, kind, hubEndpoint(options, process.env));
}

/** Expands `~` and `$NAME` in a path, like Python's expanduser and expandvars. */
function expand(path: string, env: Environment): string {
  return path
    .replace(/^~(?=$|[/\\])/, homedir())
    .replaceAll(
      /\$(?:\{(\w+)\}|(\w+))/g,
      (text, braced?: string, bare?: string) => env[(braced ?? bare)!] ?? text,
    );
}

function seconds(name: string, text: string | undefined, usual: number): number {
  if (text === undefined) return usual;
  const value = Number(text);
  if (value > 0 && value <= 86400) return value;
  throw new RopewalkError(`${name} is ${JSON.stringify(text)}; give seconds, such as ${usual}`);
}

function checkEndpoint(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['https:', 'http:'].includes(url.protocol) || url.username !== '' || url.search !== '') {
    throw new RopewalkError(
      `${JSON.stringify(text)} is not the address of a hub; give one such as https://huggingface.co`,
    );
  }
  return text.replace(/\/+$/, '');
}

/** A token is sent in a header: it must contain nothing else, and must not be shown in messages. */
function checkToken(text: string | undefined): string | undefined {
  const token = text?.trim();
  if (token === undefined || token === '') return undefined;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new RopewalkError('the token has invalid characters; copy it again into HF_TOKEN or the token file');
}

function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined;
    throw fileError(error, 'read the token', path);
  }
}

/** The id of one file in the repository of another id: `org/name@main` and `a.gguf` make `org/name@main:a.gguf`. */
export function idOfFile(id: string, file: string): string {
  const named = repositoryNamed(id, 'models');
  if (!named) throw new RopewalkError(`${id} names no repository of the hub.`);
  return `${named.id}${named.revision === undefined ? '' : `@${named.revision}`}:${file}`;
}
