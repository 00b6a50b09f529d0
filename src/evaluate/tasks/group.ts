import { FieldReader } from './field-reader.ts';
import type { TaskFile } from './task-file.ts';

/** How a metric is aggregated over a group's tasks: its mean. */
export interface GroupMetric {
  readonly metric: string;
  /** Pipelines of filters; undefined for all pipelines of the tasks. */
  readonly filters: readonly string[] | undefined;
  /** Whether tasks are weighted by their items. */
  readonly weightBySize: boolean;
}

/** A member of a group: the name of a task, group or tag, or an inline group. */
interface GroupMember {
  readonly kind: 'named' | 'inline';
  readonly name: string;
  /** Fields that the group overrides in a task; for an inline group, all its fields. */
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface GroupFields {
  readonly alias: string;
  readonly metrics: readonly GroupMetric[];
  readonly members: readonly GroupMember[];
  /** Fields that apply to all its tasks. */
  readonly forMembers: Readonly<Record<string, unknown>>;
}

const OWN_FIELDS = ['group', 'group_alias', 'task', 'aggregate_metric_list', 'metadata', 'tag'];

/** @throws RopewalkError naming the group and the field. */
export function readGroup(name: string, file: TaskFile, path: string): GroupFields {
  const fields = new FieldReader(file, `group "${name}" (${path})`);
  const members = (fields.list('task') ?? []).map((member): GroupMember => {
    if (typeof member === 'string') return { kind: 'named', name: member, fields: {} };
    const { group, task } = (member ?? {}) as { group?: unknown; task?: unknown };
    if (typeof group === 'string') {
      const { group: _, ...rest } = member as Record<string, unknown>;
      return Array.isArray(task)
        ? { kind: 'inline', name: group, fields: member as Record<string, unknown> }
        : { kind: 'named', name: group, fields: rest };
    }
    if (typeof task === 'string') {
      const { task: _, ...rest } = member as Record<string, unknown>;
      return { kind: 'named', name: task, fields: rest };
    }
    return fields.refuse('task', 'each member must be a name, or a mapping with "task" or "group"');
  });
  const list = fields.value('aggregate_metric_list');
  const metrics = [list ?? []].flat().map((entry, i): GroupMetric => {
    const where = `${fields.where}: "aggregate_metric_list", entry ${i + 1}`;
    const own = new FieldReader(entry as Record<string, unknown>, where);
    const filters = own.value('filter_list');
    own.choice('aggregation', ['mean'] as const, 'mean');
    const metric = {
      metric: own.text('metric') ?? own.refuse('metric', 'it is missing: name a metric'),
      filters: filters === undefined ? undefined : ([filters].flat() as string[]),
      weightBySize: own.flag('weight_by_size') ?? true,
    };
    own.end([]);
    return metric;
  });
  const forMembers = Object.fromEntries(
    Object.entries(file).filter(([field]) => !OWN_FIELDS.includes(field)),
  );
  return { alias: fields.text('group_alias') ?? name, metrics, members, forMembers };
}
