import { processorSeconds, processorTicks, shareOfOthers } from '../process-tree.ts';
import { Contender, type Entrant } from './contender.ts';
import { Result } from './report.ts';

export interface Match {
  readonly results: readonly Result[];
  /** Share of the processors that other processes used in the meantime. */
  readonly others: number;
  /** Entrants that could not start, with their messages. */
  readonly refused: readonly string[];
}

/** Steps before measuring begins. */
const WARM_UP = 3;

/** Seconds per turn: as many steps as fit, at least one. Single small steps would run with cold caches each time. */
const TURN = 0.6;

/**
 * Times the steps of all entrants in turn (A, B, C, C, B, A …): shared machines vary more from minute to minute than
 * entrants differ.
 */
export async function runMatch(entrants: readonly Entrant[], rounds: number): Promise<Match> {
  const contenders: Contender[] = [];
  const refused: string[] = [];
  try {
    for (const entrant of entrants) {
      try {
        contenders.push(await Contender.start(entrant));
      } catch (error) {
        refused.push(`left out: ${(error as Error).message}`);
      }
    }
    const pairs: { contender: Contender; result: Result }[] = [];
    for (const contender of contenders) {
      const { about = '', flops, loss: first } = contender.ready;
      const result = new Result(contender.entrant.name, about);
      result.flops = flops;
      if (first !== undefined) result.losses.push(first);
      try {
        await warmUp(contender, result);
        pairs.push({ contender, result });
      } catch (error) {
        refused.push(`left out: ${(error as Error).message}`);
      }
    }
    const pids = [process.pid];
    const before = processorTicks(pids);
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? pairs : pairs.toReversed();
      for (const { contender, result } of order) {
        // For steps of a minute or more, a few suffice.
        if (result.seconds.values.length >= 2 && result.seconds.median > 20) continue;
        const used = processorSeconds(contender.pid);
        const started = performance.now();
        let steps = 0;
        do {
          const { seconds, loss, optimizerSeconds } = await contender.step();
          steps++;
          result.seconds.add(seconds);
          if (loss !== undefined) result.losses.push(loss);
          if (optimizerSeconds !== undefined) result.optimizer.add(optimizerSeconds);
        } while (performance.now() - started < 1000 * TURN);
        result.processor.add((processorSeconds(contender.pid) - used) / steps);
      }
      process.stderr.write(`round ${round + 1}/${rounds}\n`);
    }
    const others = shareOfOthers(before, processorTicks(pids));
    return { results: pairs.map(({ result }) => result), others, refused };
  } finally {
    for (const contender of contenders) await contender.quit();
  }
}

async function warmUp(contender: Contender, { losses }: Result): Promise<void> {
  for (let i = 0; i < WARM_UP; i++) {
    const { loss, seconds } = await contender.step();
    if (loss !== undefined) losses.push(loss);
    if (seconds > 60) return; // one of these warms up enough
  }
}

/** Only the products, for an entrant that could not run the step. */
export async function productsOf(entrant: Entrant): Promise<string> {
  const contender = await Contender.start(entrant);
  const { seconds, flops } = await contender.products();
  await contender.quit();
  const rate = flops / seconds / 1e9;
  return `${entrant.name}: its linear layers' forward products alone run at ${rate.toFixed(1)} GFLOP/s, ${seconds.toFixed(2)} s`;
}
