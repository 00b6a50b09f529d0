/**
 * Random tokenizers, of every component and option that the Rust library `tokenizers` serializes, on random Unicode:
 * compares our ids and texts with the library's, and tries damaged tokenizer files.
 *
 *     node scripts/run-ts.js verify/tokenizers.ts [--pairs 20000] [--mutants 5000] [--seed 0] [--show 20]
 *
 * The library runs in a separate process, since a panic ends its process. verify/tokenizers.txt records the output. A
 * pair is a tokenizer and a text: the ids with and without those of the post-processor, the text of these ids with and
 * without special tokens, and the text of a list of random ids are all compared.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import { compareRandomTokenizer, emptyComparison } from '../test/helpers/random-tokenizers/compare.ts';
import { tryMutant } from '../test/helpers/random-tokenizers/mutants.ts';
import {
  type Answer,
  askRust,
  PANICKED,
  type Question,
} from '../test/helpers/random-tokenizers/rust.node.ts';

const TEXTS_PER_TOKENIZER = 5;

/** The Rust library in a process that may end. */
class RustProcess {
  #child: ChildProcess | undefined;

  /** If it panics on one of several texts, each is queried alone. */
  async ask(question: Question): Promise<Answer> {
    const all = await this.#askOnce(question);
    if (all !== PANICKED) return all;
    const { json, texts, ids } = question;
    const answers: Exclude<Answer, undefined> = { texts: [], decoded: [] };
    for (const [index, text] of texts.entries()) {
      const one = await this.#askOnce({ json, texts: [text], ids: [ids[index]!] });
      answers.texts.push(one === PANICKED ? PANICKED : one?.texts[0]);
      answers.decoded.push(one === PANICKED ? undefined : one?.decoded[0]);
    }
    return answers;
  }

  close(): void {
    this.#child?.removeAllListeners('exit');
    this.#child?.kill();
  }

  #askOnce(question: Question): Promise<Answer | typeof PANICKED> {
    this.#child ??= fork(process.argv[1]!, ['--oracle'], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    const child = this.#child;
    return new Promise((resolve) => {
      const ended = () => {
        this.#child = undefined;
        resolve(PANICKED);
      };
      child.once('exit', ended);
      child.once('message', ({ answer }: { answer?: Answer }) => {
        child.off('exit', ended);
        resolve(answer);
      });
      child.send(question);
    });
  }
}

async function compare(pairs: number, firstSeed: number, show: number): Promise<void> {
  const rust = new RustProcess();
  const result = emptyComparison();
  let seed = firstSeed;
  for (; result.pairs < pairs; seed++) {
    await compareRandomTokenizer(seed, TEXTS_PER_TOKENIZER, (question) => rust.ask(question), result);
  }
  rust.close();
  const refused = [...result.refused.values()].reduce((sum, times) => sum + times, 0);
  console.log(
    `${seed - firstSeed} random tokenizers with ${TEXTS_PER_TOKENIZER} texts each, seeds from ${firstSeed}`,
  );
  console.log(`pairs      ${result.pairs}`);
  console.log(`equal      ${result.equal}`);
  console.log(`differing  ${result.differing.length}`);
  console.log(`refused    ${refused} (${((100 * refused) / result.pairs).toFixed(2)} %), by us alone:`);
  const kinds = new Map<string, number>();
  for (const [message, times] of result.refused) {
    const kind = message.replace(/ (token|id) "(?:[^"\\]|\\.)*"/u, ' $1 "…"');
    if (times > 0) kinds.set(kind, (kinds.get(kind) ?? 0) + times);
  }
  for (const [kind, times] of [...kinds].sort((a, b) => b[1] - a[1])) console.log(`  ${times}  ${kind}`);
  console.log(`left out   ${result.panicked} texts on which the library panics`);
  for (const difference of result.differing.slice(0, show)) console.log(JSON.stringify(difference));
}

function mutate(count: number, firstSeed: number): void {
  const began = performance.now();
  const outcomes = { refused: 0, opened: 0 };
  let slowest = 0;
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    const start = performance.now();
    outcomes[tryMutant(seed)]++;
    slowest = Math.max(slowest, performance.now() - start);
  }
  console.log(
    `${count} damaged tokenizer files: ${outcomes.refused} refused, ${outcomes.opened} run, no other error`,
  );
  console.error(`slowest ${slowest.toFixed(0)} ms, all ${((performance.now() - began) / 1000).toFixed(0)} s`);
}

if (process.argv.includes('--oracle')) {
  process.on('message', async (question: Question) => {
    process.send!({ answer: await askRust(question) });
  });
} else {
  const { values } = parseArgs({
    options: {
      pairs: { type: 'string', default: '20000' },
      mutants: { type: 'string', default: '5000' },
      seed: { type: 'string', default: '0' },
      show: { type: 'string', default: '20' },
    },
  });
  await compare(Number(values.pairs), Number(values.seed), Number(values.show));
  mutate(Number(values.mutants), Number(values.seed));
}
