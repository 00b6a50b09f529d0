import { stat } from 'node:fs/promises';
import { RopewalkError } from '../../errors.ts';
import { presetNames } from '../../families/registry.ts';
import type { PullOptions } from '../../hub/pull.node.ts';
import { isAbsent, resolveModel } from '../../hub/resolve.node.ts';
import { repositoryNamed } from '../../hub/settings.node.ts';
import { namedModel } from '../../inspect/named-model.node.ts';
import { type NamedModel, namedPreset } from '../../inspect/named-model.ts';
import { askingForFile } from '../terminal/choose-file.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { duration, Progress } from '../terminal/progress.ts';

/** The path of a model given by path or by its id on the hub; a download is shown on stderr. */
export function modelPath(idOrPath: string): Promise<string> {
  return askingForFile(idOrPath, (name) => downloading((watching) => resolveModel(name, watching)));
}

/** A model for `inspect`, `diff` and `compare`: a preset, a path, or an id, without its weights. */
export async function inspectedModel(name: string): Promise<NamedModel> {
  const isPath = await stat(name).then(
    () => true,
    () => false,
  );
  if (isPath || namedPreset(name) || !repositoryNamed(name, 'models')) return namedModel(name);
  try {
    const path = await askingForFile(name, (id) =>
      downloading((watching) => resolveModel(id, { weights: false, ...watching })),
    );
    return { ...(await namedModel(path)), name };
  } catch (error) {
    // A name without an organization may be a mistyped preset.
    const mistyped = error instanceof RopewalkError && isAbsent(error.cause) && !name.includes('/');
    if (!mistyped) throw error;
    throw new RopewalkError(`${error.message}; nor is it a preset: ${presetNames().join(', ')}`, {
      cause: error,
    });
  }
}

/** Runs a download with progress on stderr. Ctrl-C stops it and keeps what was downloaded. */
export async function downloading(
  download: (options: Pick<PullOptions, 'signal' | 'onProgress'>) => Promise<string>,
): Promise<string> {
  const progress = new Progress();
  const { signal, dispose } = interruptSignal(() => {});
  const began = performance.now();
  let first: number | undefined;
  try {
    return await download({
      signal,
      onProgress({ done, total, file }) {
        first ??= done;
        const speed = (done - first) / Math.max(1e-3, (performance.now() - began) / 1000);
        const left = speed > 0 ? `, ${duration((total - done) / speed)} left` : '';
        progress.update('downloading', done, total, `${size(done)} of ${size(total)}${left}  ${file}`);
      },
    });
  } catch (error) {
    if (!signal.aborted) throw error;
    progress.end();
    progress.note('interrupted; the same command resumes the download');
    process.exit(INTERRUPTED);
  } finally {
    progress.end();
    dispose();
  }
}

function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}
