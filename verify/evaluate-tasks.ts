/**
 * Which of lm-evaluation-harness's task files load, and what the others need by name. Writes the counts to stdout.
 *
 *     pip download --no-deps lm_eval==0.4.13 && unzip lm_eval-0.4.13-*.whl
 *     node scripts/run-ts.js verify/evaluate-tasks.ts lm_eval/tasks > verify/evaluate-tasks.txt
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RopewalkError } from '../src/errors.ts';
import { checkTemplates } from '../src/evaluate/tasks/check-templates.ts';
import { readTask } from '../src/evaluate/tasks/config.ts';
import { readGroup } from '../src/evaluate/tasks/group.ts';
import { loadTaskFile } from '../src/evaluate/tasks/load.node.ts';
import { filesBelow } from '../src/files/paths.node.ts';

const [folder] = process.argv.slice(2);
if (!folder) throw new Error('usage: evaluate-tasks.ts FOLDER');

/** What a message complains about, without the names of files and tasks. */
function reason(message: string): string {
  const field = /field "(\w+)"/.exec(message)?.[1];
  const python = /the Python function/.test(message) ? 'a Python function in ' : '';
  const what =
    /there is no (metric|filter) (\S+?)[ ;]/.exec(message) ?? /(is unknown|is missing|must be)/.exec(message);
  const entry = /"(metric_list|filter_list|generation_kwargs|fewshot_config|aggregate_metric_list)"/.exec(
    message,
  )?.[1];
  const detail = what ? ` (${what[0].replace(/[ ;]$/, '')})` : '';
  if (/not a task file/.test(message)) return 'YAML that the parser does not read (PyYAML does)';
  if (/template is not valid/.test(message))
    return `${field}: ${/is not valid: (?:line \d+: )?(.*)/.exec(message)![1]}`;
  return `${python}${entry && entry !== field ? `${entry}: ` : ''}${field ?? message.slice(0, 80)}${detail}`;
}

const counts = { files: 0, without: 0, tasks: 0, groups: 0, parts: 0 };
const refused = new Map<string, string[]>();
for (const name of await filesBelow(folder)) {
  if (!name.endsWith('.yaml')) continue;
  counts.files++;
  const path = join(folder, name);
  if (readFileSync(path, 'utf8').includes('!function')) continue;
  counts.without++;
  try {
    const file = await loadTaskFile(path);
    if (typeof file.group === 'string' && !('output_type' in file) && !('dataset_path' in file)) {
      readGroup(file.group, file, path);
      counts.groups++;
    } else if (file.task === undefined && file.group === undefined) counts.parts++;
    else {
      checkTemplates(readTask(file, path));
      counts.tasks++;
    }
  } catch (error) {
    if (!(error instanceof RopewalkError)) throw error;
    const why = reason(error.message);
    refused.set(why, [...(refused.get(why) ?? []), name]);
  }
}
const loaded = counts.tasks + counts.groups + counts.parts;
const share = (100 * loaded) / counts.without;
console.log(`task files of lm-evaluation-harness 0.4.13: ${counts.files}`);
console.log(`without !function of their own: ${counts.without}`);
console.log(
  `of these load: ${loaded} (${share.toFixed(2)} %): ${counts.tasks} tasks, ${counts.groups} groups, ${counts.parts} files that others include`,
);
console.log(`refused by name: ${counts.without - loaded}`);
for (const [why, names] of [...refused].sort((a, b) => b[1].length - a[1].length)) {
  console.log(`${String(names.length).padStart(6)}  ${why}  e.g. ${names[0]}`);
}
