import { stringify } from 'yaml';
import type { FinetuneResults } from '../report/finetune.ts';
import { changeName, changeTexts, type TaskChange } from '../report/sections/tasks.ts';

/**
 * A model card: README.md for the Hugging Face hub, describing the run.
 *
 * @param base the model that was trained, an id on the hub or a folder's name.
 */
export function modelCard(
  results: FinetuneResults,
  {
    base,
    dtype,
    addedTokens,
  }: { readonly base: string; readonly dtype: string; readonly addedTokens: readonly string[] },
): string {
  const header = stringify({
    ...(isHubId(base) && { base_model: base }),
    library_name: 'transformers',
    pipeline_tag: 'text-generation',
    tags: ['ropewalk', 'full-fine-tuning'],
  });
  const whole = (value: number) => Math.round(value).toLocaleString('en');
  const { evaluations, resultStep, samples } = results;
  const before = evaluations.find(({ step }) => step === 0);
  const after = evaluations.findLast(({ step }) => step === resultStep);
  const trained =
    results.trainedParameters === results.parameters
      ? `all ${whole(results.parameters)} weights`
      : `${whole(results.trainedParameters)} of ${whole(results.parameters)} weights`;
  const losses =
    before && after
      ? `| | Loss (nats per token) | Perplexity |\n|---|---|---|\n${[
          ['before', before.loss] as const,
          ['after', after.loss] as const,
        ]
          .map(([name, loss]) => `| ${name} | ${loss.toFixed(4)} | ${Math.exp(loss).toFixed(2)} |`)
          .join(
            '\n',
          )}\n\nOn ${whole(results.validationExamples)} examples that were held out.${after.loss > before.loss ? ' **On these, the model is worse than before fine-tuning.**' : ''}`
      : 'Nothing was held out, so its performance on other examples is unknown.';
  const shown = samples.map(
    ({ prompt, before: first, after: then }) =>
      `**${oneLine(prompt)}**\n\n- before: ${oneLine(first)}\n- after: ${oneLine(then)}`,
  );
  const settings = Object.entries(results.settings).map(([name, value]) => `| ${name} | ${cell(value)} |`);
  const parts = [
    `---\n${header}---`,
    `# ${base}, fine-tuned`,
    `Full fine-tuning of \`${base}\` with [Ropewalk](https://www.npmjs.com/package/ropewalk): ${trained}, ${whole(results.examples)} examples (${whole(results.tokensPerEpoch)} tokens, ${whole(results.trainedTokensPerEpoch)} of them trained), ${whole(results.steps)} steps (${results.epochs.toFixed(2)} epochs). The weights are those after step ${resultStep}, stored in ${dtype}.`,
    ...(addedTokens.length > 0
      ? [`New special tokens: ${addedTokens.map((token) => `\`${token}\``).join(', ')}.`]
      : []),
    '## Losses',
    losses,
    ...taskTable(results.tasks ?? []),
    ...(shown.length > 0 ? ['## Samples', ...shown] : []),
    '## Settings',
    `| Setting | Value |\n|---|---|\n${settings.join('\n')}`,
    `Created on ${results.surroundings.date ?? 'an unknown date'} by Ropewalk ${results.surroundings.ropewalk ?? ''}; the curve is in \`report.html\`, every step in \`metrics.jsonl\`.`,
  ];
  return `${parts.join('\n\n')}\n`;
}

/** Tasks before and after, in pairs. */
function taskTable(tasks: readonly TaskChange[]): string[] {
  if (tasks.length === 0) return [];
  const rows = tasks.map((one) => {
    const { before, after, difference, interval, p } = changeTexts(one);
    const change = interval ? `${difference} [${interval}]` : difference;
    return `| ${cell(one.task)} | ${cell(changeName(one))} | ${one.items} | ${before} | ${after} | ${change} | ${p} |`;
  });
  const head =
    '| Task | Metric | Items | Before | After | Difference (95 %) | p |\n|---|---|---|---|---|---|---|';
  return [
    '## Tasks',
    `${head}\n${rows.join('\n')}`,
    'The same items before training and with the result. The forgetting tasks are general texts in English and Korean: a higher value after training is what it cost elsewhere.',
  ];
}

/** A model's text on one line of Markdown, without becoming markup. */
function oneLine(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .trim()
    .replaceAll(/[\\`*_[\]<>#|]/g, (sign) => `\\${sign}`);
}

function cell(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|');
}

/** Whether a name looks like an id on the hub, which is linked, rather than a local folder. */
function isHubId(name: string): boolean {
  return /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(name);
}
