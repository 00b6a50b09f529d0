import { FieldReader } from '../tasks/field-reader.ts';
import { type Filter, readFilter } from './filters.ts';

/** A sequence of filters. A task scores the result of each of its pipelines. */
export interface FilterPipeline {
  readonly name: string;
  readonly filters: readonly Filter[];
}

/** @throws RopewalkError naming a filter or a setting that is not supported. */
export function readPipelines(fields: FieldReader, isGenerated: boolean): readonly FilterPipeline[] {
  const list = fields.list('filter_list');
  if (!list) return [{ name: 'none', filters: [(answers) => answers[0]!] }];
  return list.map((entry, i) => {
    const where = `${fields.where}: "filter_list", entry ${i + 1}`;
    const own = new FieldReader((entry ?? {}) as Record<string, unknown>, where);
    const name = own.text('name') ?? own.refuse('name', 'it is missing: name the filter');
    const steps = own.list('filter') ?? own.refuse('filter', 'it is missing: list its functions');
    const filters = steps.map((step, j) => {
      const inner = new FieldReader((step ?? {}) as Record<string, unknown>, `${where}, function ${j + 1}`);
      const filter = readFilter(inner, isGenerated);
      inner.end([]);
      return filter;
    });
    own.end([]);
    return { name, filters };
  });
}
