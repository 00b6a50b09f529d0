import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { option, RopewalkError, said } from '../../errors.ts';
import { filesBelow, kindOf } from '../../files/paths.node.ts';
import { FORGETTING, forgettingFiles } from '../forgetting.ts';
import { readTask, type TaskConfig } from './config.ts';
import { type GroupMetric, readGroup } from './group.ts';
import { loadTaskFile } from './load.node.ts';
import type { TaskFile } from './task-file.ts';

/** A group of tasks, whose metrics are summed up. */
interface TaskGroup {
  readonly name: string;
  readonly alias: string;
  /** Names of its members: tasks and groups. */
  readonly members: readonly string[];
  /** Names of all tasks below it. */
  readonly tasks: readonly string[];
  readonly metrics: readonly GroupMetric[];
}

/** What a user has chosen to evaluate. */
export interface SelectedTasks {
  readonly tasks: readonly TaskConfig[];
  readonly groups: readonly TaskGroup[];
}

type Overrides = Readonly<Record<string, unknown>>;

/** Groups within groups, at most. */
const MAX_DEPTH = 20;

/**
 * The tasks that files, and names of tasks, groups and tags, stand for.
 *
 * @param names task files, names that files below `folder` define, or `forgetting` for the built-in check.
 * @param folder of task files; default that of each file that is named.
 * @throws RopewalkError naming what is not there, or a task that is chosen twice.
 */
export async function selectTasks(names: readonly string[], folder?: string): Promise<SelectedTasks> {
  const selection = new Selection(folder);
  for (const name of names) await selection.add(name);
  return selection.result();
}

/** What a file defines, by its name. */
interface Defined {
  readonly path: string;
  readonly kind: 'task' | 'group';
}

class Selection {
  readonly #tasks = new Map<string, TaskConfig>();
  readonly #groups = new Map<string, TaskGroup>();
  readonly #indexes = new Map<string, Promise<TaskIndex>>();

  constructor(readonly folder: string | undefined) {}

  result(): SelectedTasks {
    return { tasks: [...this.#tasks.values()], groups: [...this.#groups.values()] };
  }

  async add(name: string): Promise<void> {
    if ((await kindOf(name)) === 'file') {
      const file = await loadTaskFile(name);
      await this.#addFile(file, name, this.folder ?? dirname(name), {}, 0);
      return;
    }
    if (name === FORGETTING) {
      for (const fields of forgettingFiles()) await this.#addFile(fields, name, '', {}, 0);
      return;
    }
    if (this.folder === undefined) {
      throw new RopewalkError(
        said`${JSON.stringify(name)}: no such file; name a task file, or a task, group or tag together with the folder that defines it (${option('tasksDir')})`,
      );
    }
    await this.#addNamed(name, this.folder, {}, 0);
  }

  /** @returns the names of the tasks that it stands for, and its own. */
  async #addNamed(name: string, folder: string, overrides: Overrides, depth: number): Promise<string[]> {
    if (depth > MAX_DEPTH)
      throw new RopewalkError(`the group "${name}" contains itself, or nests too deeply`);
    const index = await this.#index(folder);
    const defined = index.defined.get(name);
    if (defined)
      return this.#addFile(await loadTaskFile(defined.path), defined.path, folder, overrides, depth);
    const tagged = index.tags.get(name);
    if (!tagged) {
      throw new RopewalkError(
        `no file below ${folder} defines a task, group or tag "${name}"; correct the name or the folder`,
      );
    }
    const names: string[] = [];
    for (const task of [...tagged].sort())
      names.push(...(await this.#addNamed(task, folder, overrides, depth + 1)));
    return names;
  }

  async #addFile(
    file: TaskFile,
    path: string,
    folder: string,
    overrides: Overrides,
    depth: number,
  ): Promise<string[]> {
    const merged = { ...file, ...overrides };
    if (typeof file.group === 'string' && Array.isArray(file.task)) {
      return this.#addGroup(file.group, merged, path, folder, overrides, depth);
    }
    const config = readTask(merged, path);
    const known = this.#tasks.get(config.name);
    if (known && depth === 0) {
      throw new RopewalkError(`the task "${config.name}" is chosen twice; name it once`);
    }
    this.#tasks.set(config.name, config);
    return [config.name];
  }

  async #addGroup(
    name: string,
    file: TaskFile,
    path: string,
    folder: string,
    overrides: Overrides,
    depth: number,
  ): Promise<string[]> {
    const { alias, metrics, members, forMembers } = readGroup(name, file, path);
    const given = { ...forMembers, ...overrides };
    const direct: string[] = [];
    const tasks: string[] = [];
    for (const member of members) {
      if (member.kind === 'inline') {
        const inner = `${name}::${member.name}`;
        const below = await this.#addGroup(inner, member.fields, path, folder, given, depth + 1);
        direct.push(inner);
        tasks.push(...below);
        continue;
      }
      const own = { ...given, ...member.fields };
      const index = await this.#index(folder);
      const isKnown = index.defined.has(member.name) || index.tags.has(member.name);
      const below = isKnown
        ? await this.#addNamed(member.name, folder, own, depth + 1)
        : await this.#addFile({ ...own, task: `${name}::${member.name}` }, path, folder, {}, depth + 1);
      direct.push(...(this.#groups.has(member.name) ? [member.name] : below));
      tasks.push(...below);
    }
    this.#groups.set(name, { name, alias, members: direct, tasks: [...new Set(tasks)], metrics });
    return tasks;
  }

  #index(folder: string): Promise<TaskIndex> {
    let index = this.#indexes.get(folder);
    if (!index) {
      index = indexFolder(folder);
      this.#indexes.set(folder, index);
    }
    return index;
  }
}

interface TaskIndex {
  readonly defined: ReadonlyMap<string, Defined>;
  readonly tags: ReadonlyMap<string, ReadonlySet<string>>;
}

/** The names that the task files below a folder define; of equal ones the first counts, as in the harness. */
async function indexFolder(folder: string): Promise<TaskIndex> {
  const defined = new Map<string, Defined>();
  const tags = new Map<string, Set<string>>();
  for (const name of await filesBelow(folder)) {
    if (!name.endsWith('.yaml') || name.includes('__pycache__')) continue;
    const path = join(folder, name);
    const file = await quickly(path);
    const group = file && !('class' in file) && typeof file.group === 'string' ? file.group : undefined;
    const task = typeof file?.task === 'string' ? file.task : undefined;
    const own = group ?? task;
    if (own === undefined || defined.has(own)) continue;
    defined.set(own, { path, kind: group === undefined ? 'task' : 'group' });
    if (group !== undefined) continue;
    for (const tag of [file!.tag ?? []].flat()) {
      if (typeof tag !== 'string') continue;
      if (!tags.has(tag)) tags.set(tag, new Set());
      tags.get(tag)!.add(own);
    }
  }
  return { defined, tags };
}

/** A file's fields; without those that it includes where its own tell enough. Undefined for one that is no task file. */
async function quickly(path: string): Promise<TaskFile | undefined> {
  try {
    const { parseTaskFile } = await import('./yaml.ts');
    const own = parseTaskFile(await readFile(path, 'utf8'), basename(path));
    if (own.include === undefined || ('tag' in own && ('task' in own || 'group' in own))) return own;
    return await loadTaskFile(path);
  } catch (error) {
    if (error instanceof RopewalkError) return undefined;
    throw error;
  }
}
