import { type DataExample, type DataSources, type ExampleOptions, examplesOf } from './examples.node.ts';
import { type DataReport, ReportBuilder } from './report.ts';

/** An example of a preview, and its number among all, from 1. */
export interface NumberedExample extends DataExample {
  readonly number: number;
}

/**
 * Some examples of data files, as they are trained on. All rows are read, so the returned report covers all of them.
 *
 * @param choice the number of the first example, from 1 (default 1), and the number of examples (default 3)
 * @throws RopewalkError naming the file and the line of an unreadable row (unless `malformed` is `drop`)
 */
export async function* previewData(
  options: ExampleOptions & DataSources,
  choice: { readonly from?: number; readonly count?: number } = {},
): AsyncGenerator<NumberedExample, DataReport> {
  const { from = 1, count = 3 } = choice;
  const report = new ReportBuilder();
  let number = 0;
  for await (const example of examplesOf(options, report)) {
    number++;
    if (number >= from && number < from + count) yield { ...example, number };
  }
  return report.build(options.maxLength);
}
