import { sameDim } from '../dims.ts';
import { apply, floats, type Operator, shapeError, type Tensor, type TensorType } from '../tensor.ts';
import { reduceSum } from './broadcast.ts';
import { add, log, mul, sub } from './elementwise.ts';
import {
  expandHeadLoss,
  type HeadLoss,
  type HeadLossInputs,
  headGradients,
  headLogits,
  headLossTypes,
  isVector,
  type LinearHead,
  logSumExp,
} from './head.ts';
import { addAlong, takeAlong } from './indexing.ts';
import { softmax } from './reduce.ts';
import { slice } from './shape.ts';
import { constant, scalar } from './sources.ts';

export interface MixAttributes {
  /** The student's final soft-cap; null for none. */
  readonly softcap: number | null;
  /** T: both distributions are softmax(logits / T), and the divergence is scaled by T². */
  readonly temperature: number;
  /** λ in λ · T² · KL + (1 − λ) · cross-entropy; above 0, at most 1. */
  readonly ratio: number;
  /** The number of rows whose logits exist at the same time. */
  readonly chunk: number;
  readonly bias: boolean;
}

export interface LinearDistillationAttributes extends MixAttributes {
  /** The teacher's final soft-cap; null for none. */
  readonly teacherSoftcap: number | null;
  readonly teacherBias: boolean;
}

/** What a chunk of rows learns from the teacher. */
interface Lesson {
  /** KL(teacher ‖ student) per row, `[chunk, 1]`, given the student's logits / T and their log Σ exp `[chunk, 1]`. */
  divergence(scaled: Tensor, logSumExp: Tensor): Tensor;
  /** x `[chunk, vocab]` minus the teacher's probabilities times `factor`. */
  subtract(x: Tensor, factor: number): Tensor;
}

function checkMix(
  name: string,
  inputs: readonly TensorType[],
  { temperature, ratio }: MixAttributes,
): TensorType[] {
  const outputs = headLossTypes(name, inputs);
  if (!(temperature > 0) || !(ratio > 0 && ratio <= 1)) {
    throw shapeError(name, inputs, `cannot mix by ${ratio} at temperature ${temperature}`);
  }
  return outputs;
}

const times = (x: Tensor, factor: number) => (factor === 1 ? x : mul(x, scalar(factor)));

/**
 * Loss, losses, and the gradients of hidden, weight and bias, chunk by chunk. With student probabilities q at T and q₁ at
 * 1, d loss / d logits = weight · (λ · T · (q − teacher) + (1 − λ) · (q₁ − onehot)).
 */
function expandMix(
  student: HeadLossInputs,
  { temperature, ratio, chunk }: MixAttributes,
  lesson: (start: number, end: number) => Lesson,
): Tensor[] {
  return expandHeadLoss('distillation', student, chunk, (logits, target, start, end) => {
    const scaled = times(logits, 1 / temperature);
    const q = softmax(scaled);
    const scaledSum = logSumExp(scaled, q);
    const { divergence, subtract } = lesson(start, end);
    const loss = times(divergence(scaled, scaledSum), ratio * temperature ** 2);
    if (ratio === 1) return { loss, dLogits: subtract(times(q, temperature), temperature) };
    // At temperature 1 both parts share the student's probabilities.
    const q1 = temperature === 1 ? q : softmax(logits);
    const sum = temperature === 1 ? scaledSum : logSumExp(logits, q1);
    const both = temperature === 1 ? q : add(times(q, ratio * temperature), times(q1, 1 - ratio));
    const missed = constant(new Float32Array(end - start).fill(ratio - 1), [end - start, 1]);
    return {
      loss: add(loss, times(sub(sum, takeAlong(logits, target)), 1 - ratio)),
      dLogits: addAlong(subtract(both, ratio * temperature), target, missed),
    };
  });
}

/**
 * The heads of a student and its teacher fused with the loss between them; only the logits of `chunk` rows exist at a
 * time: Σ_i weightᵢ · (λ · T² · KL(softmax(tᵢ / T) ‖ softmax(sᵢ / T)) + (1 − λ) · −log softmax(sᵢ)[targetᵢ]), where s
 * and t are both models' capped logits. Hinton et al. 2015, arXiv:1503.02531; Gemma 2, arXiv:2408.00118.
 *
 * Inputs: hidden [n, d], W [vocab, d], targets [n], weights [n], the teacher's hidden [n, e] and head [vocab, e] (no
 * gradient), b [vocab] if `bias`, the teacher's b [vocab] if `teacherBias`. Outputs: loss [], losses [n, 1] without
 * weights, dHidden [n, d], dW [vocab, d], db [vocab] if `bias`.
 */
export const linearDistillationOp: Operator<LinearDistillationAttributes> = {
  name: 'linearDistillation',
  primaryOutputs: 1,
  infer(inputs, attributes) {
    const outputs = checkMix('linearDistillation', inputs, attributes);
    const [hidden, weight, , , teacherHidden, teacherWeight, ...biases] = inputs;
    const vocab = weight!.shape[0]!;
    const fits =
      teacherHidden?.shape.length === 2 &&
      teacherWeight?.shape.length === 2 &&
      sameDim(teacherHidden.shape[0]!, hidden!.shape[0]!) &&
      sameDim(teacherWeight.shape[0]!, vocab) &&
      sameDim(teacherHidden.shape[1]!, teacherWeight.shape[1]!) &&
      biases.length === Number(attributes.bias) + Number(attributes.teacherBias) &&
      biases.every((bias) => isVector(bias, vocab));
    if (!fits) {
      throw shapeError(
        'linearDistillation',
        inputs,
        "needs the teacher's hidden [n, e] and weight [vocab, e], and biases [vocab]",
      );
    }
    return attributes.bias ? [...outputs, biases[0]!] : outputs;
  },
  expand([hidden, weight, targets, weights, teacherHidden, teacherWeight, ...biases], attributes) {
    const { softcap, temperature, bias: hasBias, teacherBias: teacherHasBias, teacherSoftcap } = attributes;
    const bias = hasBias ? biases[0] : undefined;
    const teacherBias = teacherHasBias ? biases.at(-1) : undefined;
    const student = { hidden: hidden!, weight: weight!, targets: targets!, weights: weights!, bias, softcap };
    const teacher = { weight: teacherWeight!, bias: teacherBias, softcap: teacherSoftcap };
    return expandMix(student, attributes, (start, end) => {
      const scaled = times(headLogits(slice(teacherHidden!, 0, start, end), teacher), 1 / temperature);
      const p = softmax(scaled);
      const sum = logSumExp(scaled, p);
      return {
        // Σ p · (log p − log q), with log p = the teacher's logits − their log Σ exp, and Σ p = 1.
        divergence: (own, ownSum) => add(reduceSum(mul(p, sub(scaled, own)), [1]), sub(ownSum, sum)),
        subtract: (x, factor) => sub(x, times(p, factor)),
      };
    });
  },
  differentiate: ({ inputs, outputs, gradients }) => headGradients(outputs, gradients[0]!, inputs.length, 6),
  examples: [
    example({ softcap: null, teacherSoftcap: null, temperature: 1, ratio: 1, chunk: 6 }),
    example({ softcap: 1.5, teacherSoftcap: 2, temperature: 2, ratio: 0.7, chunk: 4 }),
    example({ softcap: 2, teacherSoftcap: null, temperature: 1, ratio: 0.5, chunk: 2, bias: true }),
    example({ softcap: null, teacherSoftcap: 2, temperature: 3, ratio: 1, chunk: 6, teacherBias: true }),
  ],
};

function example(
  given: Omit<LinearDistillationAttributes, 'bias' | 'teacherBias'> & Partial<LinearDistillationAttributes>,
) {
  const attributes = { bias: false, teacherBias: false, ...given };
  const [n, d, vocab, e] = [6, 4, 5, 3];
  const targets: TensorType = { dtype: 'int32', shape: [n] };
  const inputs = [floats(n, d), floats(vocab, d), targets, floats(n), floats(n, e), floats(vocab, e)];
  if (attributes.bias) inputs.push(floats(vocab));
  if (attributes.teacherBias) inputs.push(floats(vocab));
  return { inputs, attributes, below: vocab };
}

/**
 * {@link linearDistillationOp} for a teacher of which k probabilities per row are known: all others are taken as 0.
 *
 * Inputs: hidden [n, d], W [vocab, d], targets [n], weights [n], ids [n, k], probabilities [n, k] that add up to 1 in
 * each row (no gradient; an id of probability 0 is ignored), b [vocab] if `bias`. The outputs are the same.
 */
export const sparseDistillationOp: Operator<MixAttributes> = {
  name: 'sparseDistillation',
  primaryOutputs: 1,
  infer(inputs, attributes) {
    const outputs = checkMix('sparseDistillation', inputs, attributes);
    const [hidden, weight, , , ids, probabilities, ...biases] = inputs;
    const fits =
      ids?.shape.length === 2 &&
      ids.dtype !== 'float32' &&
      probabilities?.shape.length === 2 &&
      [ids, probabilities].every(({ shape }) => sameDim(shape[0]!, hidden!.shape[0]!)) &&
      sameDim(ids.shape[1]!, probabilities.shape[1]!) &&
      biases.length === Number(attributes.bias) &&
      biases.every((bias) => isVector(bias, weight!.shape[0]!));
    if (!fits) {
      throw shapeError(
        'sparseDistillation',
        inputs,
        'needs ids and probabilities [n, k], and a bias [vocab]',
      );
    }
    return attributes.bias ? [...outputs, biases[0]!] : outputs;
  },
  expand([hidden, weight, targets, weights, ids, probabilities, bias], attributes) {
    const { softcap } = attributes;
    const student = { hidden: hidden!, weight: weight!, targets: targets!, weights: weights!, bias, softcap };
    return expandMix(student, attributes, (start, end) => {
      const some = slice(ids!, 0, start, end);
      const p = slice(probabilities!, 0, start, end);
      // A probability of 0 has 0 · log ε = 0.
      const logP = log(add(p, scalar(1e-30)));
      return {
        divergence: (own, ownSum) => add(reduceSum(mul(p, sub(logP, takeAlong(own, some))), [1]), ownSum),
        subtract: (x, factor) => addAlong(x, some, times(p, -factor)),
      };
    });
  },
  differentiate: ({ inputs, outputs, gradients }) => headGradients(outputs, gradients[0]!, inputs.length, 6),
  examples: [
    sparseExample({ softcap: null, temperature: 1, ratio: 1, chunk: 3, bias: false }),
    sparseExample({ softcap: 1.5, temperature: 2, ratio: 0.6, chunk: 2, bias: true }),
    sparseExample({ softcap: 2, temperature: 1, ratio: 0.5, chunk: 1, bias: false }),
  ],
};

function sparseExample(attributes: MixAttributes) {
  const [n, d, vocab, k] = [3, 4, 6, 3];
  const integers = (...shape: number[]): TensorType => ({ dtype: 'int32', shape });
  const inputs = [floats(n, d), floats(vocab, d), integers(n), floats(n), integers(n, k), floats(n, k)];
  if (attributes.bias) inputs.push(floats(vocab));
  // The last row has two unused places: they repeat an id with probability 0.
  const values = { 4: [0, 5, 2, 4, 1, 3, 2, 0, 0], 5: [0.5, 0.25, 0.25, 0.125, 0.75, 0.125, 1, 0, 0] };
  return { inputs, attributes, below: vocab, values };
}

/** The weights of the teacher's distribution and of the text's tokens. */
export interface DistillationMix {
  readonly temperature: number;
  readonly ratio: number;
  readonly chunk: number;
}

/**
 * See {@link linearDistillationOp}: the student's hidden `[n, d]`, the teacher's `[n, e]`, targets and weights `[n]`.
 */
export function linearDistillation(
  hidden: Tensor,
  head: LinearHead,
  targets: Tensor,
  weights: Tensor,
  teacher: { readonly hidden: Tensor; readonly head: LinearHead },
  mix: DistillationMix,
): HeadLoss {
  const biases = [head.bias, teacher.head.bias].filter((bias) => bias !== undefined);
  const inputs = [hidden, head.weight, targets, weights, teacher.hidden, teacher.head.weight, ...biases];
  const [loss, perToken] = apply(linearDistillationOp, inputs, {
    ...mix,
    softcap: head.softcap,
    teacherSoftcap: teacher.head.softcap,
    bias: head.bias !== undefined,
    teacherBias: teacher.head.bias !== undefined,
  });
  return { loss: loss!, perToken: perToken! };
}

/** See {@link sparseDistillationOp}: hidden `[n, d]`, targets and weights `[n]`, ids and probabilities `[n, k]`. */
export function sparseDistillation(
  hidden: Tensor,
  head: LinearHead,
  targets: Tensor,
  weights: Tensor,
  teacher: { readonly ids: Tensor; readonly probabilities: Tensor },
  mix: DistillationMix,
): HeadLoss {
  const bias = head.bias ? [head.bias] : [];
  const inputs = [hidden, head.weight, targets, weights, teacher.ids, teacher.probabilities, ...bias];
  const [loss, perToken] = apply(sparseDistillationOp, inputs, {
    ...mix,
    softcap: head.softcap,
    bias: head.bias !== undefined,
  });
  return { loss: loss!, perToken: perToken! };
}
