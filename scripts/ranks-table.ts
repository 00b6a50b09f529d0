/**
 * Writes the table of computed efficiencies in docs/many-processors.md, from the model that `--dry-run --ranks` uses.
 *
 *     npm run docs:ranks
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { smol } from '../bench/inference/shapes.ts';
import { llama } from '../src/families/llama.ts';
import { stepBytes } from '../src/training/parallel/shard.ts';
import { communicationSeconds, efficiency, stepMessages } from '../src/training/parallel/step-time.ts';

const PAGE = fileURLToPath(new URL('../docs/many-processors.md', import.meta.url));
const BEGIN = '<!-- written by npm run docs:ranks -->\n';
const END = '<!-- end -->';
/** SmolLM2-135M at 4 × 256 tokens on two cores, measured (README). */
const SECONDS = 3.1;
const LATENCY = 50e-6;
const MICRO_BATCHES = [1, 8];
const RATES = [1, 10, 100];

/** The page with its table as it should be. */
export function withTable(page: string): string {
  const [start, end] = [page.indexOf(BEGIN) + BEGIN.length, page.indexOf(END)];
  if (start < BEGIN.length || end < start) throw new Error('the page has no place for the table');
  return page.slice(0, start) + table() + page.slice(end);
}

function table(): string {
  const weights = llama.build(smol).parameterCount();
  const columns = MICRO_BATCHES.flatMap((count) => RATES.map((rate) => ({ count, rate })));
  const cell = (nodes: number, { count, rate }: (typeof columns)[number]) => {
    const bytes = stepBytes('none', nodes, { weights, gradients: weights });
    const messages = stepMessages('none', nodes, 0);
    const communicating = communicationSeconds(
      { bytes, messages },
      { bandwidth: rate * 1e9, latency: LATENCY },
    );
    return `${Math.round(100 * efficiency(SECONDS * count, communicating))} %`;
  };
  const rows = [2, 4, 8, 16, 32, 64].map((nodes) => [
    String(nodes),
    ...columns.map((column) => cell(nodes, column)),
  ]);
  const head = [
    'Nodes',
    ...columns.map(({ count, rate }) => `${(1024 * count).toLocaleString('en')} tokens, ${rate} Gb/s`),
  ];
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |\n`).join('');
}

if (process.argv[1] && /ranks-table/.test(process.argv[1]))
  writeFileSync(PAGE, withTable(readFileSync(PAGE, 'utf8')));
