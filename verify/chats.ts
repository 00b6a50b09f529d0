/**
 * Compares texts, ids and masks with those of transformers for random chats:
 *
 *     python test/reference/make_chats.py 2000 chats.json && node scripts/run-ts.js verify/chats.ts chats.json
 */
import { readFileSync } from 'node:fs';
import { ChatChecker, type ChatsReference } from '../test/helpers/chats.ts';

const reference = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as ChatsReference;
const checker = new ChatChecker(reference);
const counts = new Map<string, { cases: number; refused: number; wrong: number }>();
let listed = 0;
for (const one of reference.cases) {
  const count = counts.get(one.template) ?? { cases: 0, refused: 0, wrong: 0 };
  counts.set(one.template, count);
  count.cases++;
  if (one.refusal !== undefined) count.refused++;
  const problems = checker.problems(one);
  if (problems.length === 0) continue;
  count.wrong++;
  if (listed++ < 20) console.log(problems.map((problem) => problem.slice(0, 1200)).join('\n'));
}
console.table(Object.fromEntries(counts));
