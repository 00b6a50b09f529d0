import type { PullOptions } from '../../hub/pull.node.ts';
import { resolveModel } from '../../hub/resolve.node.ts';
import { namedModel } from '../../inspect/named-model.node.ts';
import type { NamedModel } from '../../inspect/named-model.ts';
import { askingForFile } from '../terminal/choose-file.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { duration, Progress } from '../terminal/progress.ts';

/** The path of a model given by path or by its id on the hub; a download is shown on stderr. */
export function modelPath(idOrPath: string): Promise<string> {
  return askingForFile(idOrPath, (name) => downloading((watching) => resolveModel(name, watching)));
}

/** What `inspect`, `diff`, `compare` and `estimate` take: a preset, a path, or an id, of which the weights are not needed. */
export async function inspectedModel(name: string): Promise<NamedModel> {
  const model = await askingForFile(name, (id) => downloading((watching) => namedModel(id, watching)));
  return { ...model, name };
}

/** Runs a download with progress on stderr. Ctrl-C stops it and keeps what was downloaded. */
export async function downloading<T>(
  download: (options: Pick<PullOptions, 'signal' | 'onProgress'>) => Promise<T>,
): Promise<T> {
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
