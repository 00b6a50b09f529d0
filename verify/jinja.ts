/**
 * Runs the programs of test/reference/make_jinja.py and lists where our result differs from Jinja2's.
 *
 *     node scripts/run-ts.js verify/jinja.ts FILE [how many to list]
 */
import { readFileSync } from 'node:fs';
import { checkProgram, type JinjaReference } from '../test/helpers/jinja.ts';

const [file, most = '40'] = process.argv.slice(2);
const reference = JSON.parse(readFileSync(file!, 'utf8')) as JinjaReference;
const counts = new Map<string, number>();
let listed = 0;
for (const program of reference.programs) {
  const result = checkProgram(program, reference.variables);
  counts.set(result.verdict, (counts.get(result.verdict) ?? 0) + 1);
  if (result.verdict !== 'different' || listed++ >= Number(most)) continue;
  console.log(
    JSON.stringify({ source: program.source, right: program.text ?? program.error, ours: result.ours }),
  );
}
console.log(Object.fromEntries(counts));
