import { z } from 'zod';
import { RopewalkError } from '../../errors.ts';
import { sizeOf } from '../../graph/dims.ts';
import {
  adafactorNorm,
  adafactorSums,
  adafactorUpdate,
  type Factors,
} from '../../kernels/adafactor-kernels.ts';
import { notNegative, option, parseOptions } from '../../options.ts';
import { adafactorOnDevice } from './adafactor-on-device.ts';
import {
  checkedSettings,
  type OptimizedParameter,
  type Optimizer,
  type OptimizerState,
  type ParameterShape,
  restoreTensors,
  type StateTensor,
  StepCounts,
  type StepSettings,
} from './optimizer-common.ts';
import { decayOptions, defineOptimizer, matricesDecay, type Options } from './record.ts';

/** PyTorch's defaults. */
const DEFAULTS = {
  beta2Decay: -0.8,
  epsilons: [2 ** -23, 1e-3] as [number, number],
  clipThreshold: 1,
  weightDecay: 0,
  decays: matricesDecay,
};

const options = {
  beta2Decay: option(
    z.number('give a number of 0 or less').max(0, 'give a number of 0 or less'),
    'new values enter the averages with weight step^d',
    { value: 'd' },
  ),
  /** Lower bounds of a variance (its square) and of a weight's size. */
  epsilons: z.tuple([notNegative, notNegative], 'give two numbers'),
  clipThreshold: option(
    z.number('give a number of at least 1').min(1, 'give a number of at least 1'),
    'largest root mean square of an update; larger ones are scaled down',
    { value: 'u' },
  ),
  ...decayOptions,
};

/** All have defaults; see `adafactor`. */
export interface AdafactorOptions extends Partial<Options<typeof options>> {}

export const adafactor = defineOptimizer({
  name: 'adafactor',
  options,
  defaults: DEFAULTS,
  needsWholeWeights: true,
  stateBytes(shape) {
    const size = sizeOf(shape);
    // One number per row and per column of a matrix.
    return 4 * (shape.length < 2 ? size : size / shape.at(-1)! + size / shape.at(-2)!);
  },
  create: (parameters, { memory: _memory, seed: _seed, ...given }) => new Adafactor(parameters, given),
  onDevice: adafactorOnDevice,
});

/** The statistics of a parameter: means over rows and columns of a matrix, or the variances of a vector themselves. */
type Variances =
  | { readonly rows: Float32Array; readonly columns: Float32Array; readonly width: number }
  | { readonly vector: Float32Array };

/**
 * Adafactor (Shazeer and Stern 2018, arXiv:1804.04235) with the arithmetic of torch.optim.Adafactor: a matrix's
 * variances are the product of a row and a column, so its state is tiny; there is no momentum. The step is relative
 * to the weights: a learning rate of 0.01 moves them by at most 1 % of their root mean square, and the rate is never
 * above 1 / √step.
 */
export class Adafactor implements Optimizer {
  /** Average bytes of state per weight. */
  readonly bytesPerParameter: number;
  readonly #options: Options<typeof options>;
  readonly #variances: ReadonlyMap<string, Variances>;
  readonly #parameters: readonly ParameterShape[];
  readonly #counts: StepCounts;

  constructor(parameters: Iterable<ParameterShape>, given: AdafactorOptions = {}) {
    this.#options = { ...DEFAULTS, ...parseOptions(z.strictObject(options).partial(), given) };
    this.#parameters = [...parameters];
    this.#counts = new StepCounts('Adafactor', this.#parameters);
    this.#variances = new Map(this.#parameters.map(({ name, shape }) => [name, variancesOf(shape)]));
    const size = this.#parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    const bytes = [...this.#tensors().values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    this.bytesPerParameter = bytes / Math.max(1, size);
  }

  step(parameters: Iterable<OptimizedParameter>, settings: StepSettings): void {
    const { learningRate, gradientScale } = checkedSettings(settings);
    for (const parameter of parameters) {
      const { name, shape, value } = parameter;
      const { step } = this.#counts.begin(parameter);
      if (value.length !== sizeOf(shape)) {
        throw new RopewalkError(
          `Adafactor: it needs all of ${name} before it updates any of it; pass all elements at once.`,
        );
      }
      const variances = this.#variances.get(name)!;
      if ('vector' in variances)
        this.#stepVector(parameter, variances.vector, step, learningRate, gradientScale);
      else this.#stepMatrices(parameter, variances, step, learningRate, gradientScale);
      this.#counts.end(parameter);
    }
  }

  /** The state in a checkpoint: averages and step counts, by the names of the weights. */
  state(): OptimizerState {
    return { steps: this.#counts.state(), tensors: this.#tensors() };
  }

  restore(state: OptimizerState): void {
    this.#counts.check(state.steps);
    restoreTensors('Adafactor', this.#tensors(), state.tensors);
    this.#counts.restore(state.steps);
  }

  #stepMatrices(
    { name, shape, value, gradient }: OptimizedParameter,
    { rows, columns, width }: { rows: Float32Array; columns: Float32Array; width: number },
    step: number,
    learningRate: number,
    gradientScale: number,
  ): void {
    const matrices = columns.length / width;
    const height = rows.length / matrices;
    const share = step ** this.#options.beta2Decay;
    const [floorRoot] = this.#options.epsilons;
    const means = new Float32Array(height);
    const sums = new Float64Array(width);
    const part = (array: Float32Array, i: number, size: number) => array.subarray(i * size, (i + 1) * size);
    let valueSquares = 0;
    let updateSquares = 0;
    const factors: Factors[] = [];
    for (let i = 0; i < matrices; i++) {
      const g = part(gradient, i, height * width);
      sums.fill(0);
      valueSquares += adafactorSums(part(value, i, height * width), g, means, sums, gradientScale);
      const row = part(rows, i, height);
      const column = part(columns, i, width);
      moveTowards(row, means, share);
      moveTowards(
        column,
        sums.map((sum) => sum / height),
        share,
      );
      const mean = Math.max(row.reduce((sum, x) => sum + x, 0) / height, floorRoot);
      factors.push({ rows: row.map((x) => x / mean), columns: column, floor: floorRoot ** 2 });
      updateSquares += adafactorNorm(g, factors[i]!, gradientScale);
    }
    const { decay, rate } = this.#rates(name, shape, { valueSquares, updateSquares, step, learningRate });
    for (const [i, factor] of factors.entries()) {
      const size = height * width;
      adafactorUpdate(part(value, i, size), part(gradient, i, size), factor, gradientScale, decay, rate);
    }
  }

  /** Vectors are small, so plain JavaScript suffices. */
  #stepVector(
    { name, shape, value, gradient }: OptimizedParameter,
    variance: Float32Array,
    step: number,
    learningRate: number,
    gradientScale: number,
  ): void {
    const g = gradient.map((x) => x * gradientScale);
    moveTowards(
      variance,
      g.map((x) => x * x),
      step ** this.#options.beta2Decay,
    );
    const floor = this.#options.epsilons[0] ** 2;
    const update = g.map((x, i) => x / Math.sqrt(Math.max(variance[i]!, floor)));
    const squares = (array: Float32Array) => array.reduce((sum, x) => sum + x * x, 0);
    const [valueSquares, updateSquares] = [squares(value), squares(update)];
    const { decay, rate } = this.#rates(name, shape, { valueSquares, updateSquares, step, learningRate });
    for (let i = 0; i < value.length; i++) value[i] = value[i]! * decay - rate * update[i]!;
  }

  /** The decay factor and the update rate. */
  #rates(
    name: string,
    shape: readonly number[],
    measured: { valueSquares: number; updateSquares: number; step: number; learningRate: number },
  ): { decay: number; rate: number } {
    const { weightDecay, decays, clipThreshold, epsilons } = this.#options;
    const { valueSquares, updateSquares, step, learningRate } = measured;
    const size = sizeOf(shape);
    const rho = Math.min(learningRate, 1 / Math.sqrt(step));
    const alpha = Math.max(epsilons[1], Math.sqrt(valueSquares / size)) * rho;
    const clip = Math.max(1, Math.sqrt(updateSquares / size) / clipThreshold);
    return { decay: 1 - learningRate * (decays(name, shape) ? weightDecay : 0), rate: alpha / clip };
  }

  #tensors(): Map<string, StateTensor> {
    const tensors = new Map<string, StateTensor>();
    for (const { name, shape } of this.#parameters) {
      const variances = this.#variances.get(name)!;
      if ('vector' in variances) {
        tensors.set(`variance.${name}`, { dtype: 'F32', data: variances.vector, shape });
        continue;
      }
      const { rows, columns } = variances;
      const outer = shape.slice(0, -2);
      tensors.set(`row.${name}`, { dtype: 'F32', data: rows, shape: [...outer, shape.at(-2)!] });
      tensors.set(`column.${name}`, { dtype: 'F32', data: columns, shape: [...outer, shape.at(-1)!] });
    }
    return tensors;
  }
}

function variancesOf(shape: readonly number[]): Variances {
  if (shape.length < 2) return { vector: new Float32Array(sizeOf(shape)) };
  const outer = sizeOf(shape.slice(0, -2));
  const width = shape.at(-1)!;
  return {
    rows: new Float32Array(outer * shape.at(-2)!),
    columns: new Float32Array(outer * width),
    width,
  };
}

/** average ← average + share · (x − average) */
function moveTowards(average: Float32Array, x: Float32Array | Float64Array, share: number): void {
  for (let i = 0; i < average.length; i++) average[i]! += share * (x[i]! - average[i]!);
}
