import { join, resolve } from 'node:path';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';
import { filesBelow, filesOfPattern, kindOf } from '../../files/paths.node.ts';
import { type ChosenData, chooseDataFiles } from '../../hub/choose-data.ts';
import { type PullDatasetOptions, pullDatasetWith } from '../../hub/pull-dataset.node.ts';
import { isAbsent } from '../../hub/resolve.node.ts';
import { repositoryNamed } from '../../hub/settings.node.ts';

export interface ResolveDataOptions extends PullDatasetOptions {
  /**
   * Called with a sentence if only some data files of a folder or a dataset are used: which are, and which are not.
   */
  readonly onNote?: ((text: string) => void) | undefined;
}

/**
 * The data files named by paths, patterns (`chats/*.jsonl`), folders, or ids of datasets on the hub (`org/name`,
 * `org/name@revision`, `org/name:train.jsonl`), which are downloaded if necessary. Existing paths take precedence. In
 * folders and datasets, the training split is used if file names indicate one.
 *
 * @returns paths, in the order of the names; those of a folder in the order of theirs
 * @throws RopewalkError saying what was tried
 */
export async function resolveData(
  names: readonly string[],
  options: ResolveDataOptions = {},
): Promise<string[]> {
  const files: string[] = [];
  for (const name of names) files.push(...(await filesOf(name, options)));
  return files;
}

async function filesOf(name: string, { onNote, ...options }: ResolveDataOptions): Promise<string[]> {
  const kind = await kindOf(name);
  if (kind === 'folder') return filesIn(name, onNote);
  if (kind !== undefined) return [name];
  const matching = await filesOfPattern(name);
  if (matching) return matching;
  const shown = JSON.stringify(name);
  const id = repositoryNamed(name, 'datasets', options);
  if (!id) {
    throw new RopewalkError(
      `${shown}: no such file or folder (${resolve(name)}), and not the id of a dataset on the hub, which looks like org/name; check the path`,
    );
  }
  try {
    return await pullDatasetWith(id, {
      ...options,
      onChosen: (choice) => {
        if (choice.left.length > 0) onNote?.(`${name}: ${describeChoice(choice)}`);
      },
    });
  } catch (error) {
    if (!isAbsent(error)) throw error;
    throw new RopewalkError(
      `${shown}: no such file or folder here; as a dataset on the hub: ${error.message}`,
      { cause: error },
    );
  }
}

async function filesIn(folder: string, onNote?: (text: string) => void): Promise<string[]> {
  let names: string[];
  try {
    names = await filesBelow(folder);
  } catch (error) {
    throw fileError(error, 'read', folder);
  }
  const choice = chooseDataFiles(names, folder.replace(/[/\\]+$/, ''), { isFolder: true });
  if (choice.left.length > 0) onNote?.(`${folder}: ${describeChoice(choice)}`);
  return choice.chosen.map((name) => join(folder, name));
}

/** Which files are trained on, and which are not, in a sentence. */
function describeChoice({ chosen, left }: ChosenData): string {
  const shown = (names: readonly string[]) =>
    names.length > 4 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
  return `training on ${shown(chosen)}; not on ${shown(left)}`;
}
