import { RopewalkError } from '../errors.ts';
import { input, linearDistillation, sparseDistillation } from '../graph/operators/index.ts';
import { headChunk, type Loss } from '../training/loss.ts';

/** How much of the loss is the teacher's word, and how soft it is. */
export interface DistillationSettings {
  /**
   * T: teacher and student are compared at softmax(logits / T), and the divergence counts T² times, which keeps its
   * gradients of one size whatever T is (Hinton et al. 2015, arXiv:1503.02531, section 2). Above 0.
   */
  readonly temperature: number;
  /** λ in λ · T² · KL(teacher ‖ student) + (1 − λ) · cross-entropy; above 0, at most 1. */
  readonly ratio: number;
}

/** What is known of a teacher's head when a graph is made. */
export interface TeacherHead {
  /** Of its hidden states. */
  readonly width: number;
  readonly softcap: number | null;
  readonly bias: boolean;
}

/** Names of the inputs that these losses add, all of them in `TrainingRows.extra`. */
export const TEACHER_INPUTS = {
  /** float32 `[rows, teacher's width]`, after the teacher's last norm. */
  hidden: 'teacher.hidden',
  /** float32 `[vocab, teacher's width]`. */
  weight: 'teacher.head.weight',
  /** float32 `[vocab]`. */
  bias: 'teacher.head.bias',
  /** int32 `[rows, k]`. */
  ids: 'teacher.ids',
  /** float32 `[rows, k]`, each row adding up to 1; 0 for a place that is not used. */
  probabilities: 'teacher.probabilities',
} as const;

/** @throws RopewalkError naming the setting that cannot be. */
export function checkDistillation({ temperature, ratio }: DistillationSettings): void {
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    throw new RopewalkError(`the temperature must be a number above 0, but is ${temperature}.`);
  }
  if (!(ratio > 0 && ratio <= 1)) {
    throw new RopewalkError(
      `the ratio is the teacher's share of the loss, above 0 and at most 1, but is ${ratio}; to train without a teacher, use "train".`,
    );
  }
}

/**
 * Distillation from a teacher who is at hand: his logits are computed from his hidden states, chunk of rows by chunk,
 * beside the student's, both capped as the models cap them.
 */
export function onlineLoss(teacher: TeacherHead, settings: DistillationSettings): Loss {
  checkDistillation(settings);
  const { temperature, ratio } = settings;
  return ({ hidden, head, targets, weights, rows, vocabSize }) => {
    const weight = input(TEACHER_INPUTS.weight, 'float32', [vocabSize, teacher.width]);
    const bias = teacher.bias ? input(TEACHER_INPUTS.bias, 'float32', [vocabSize]) : undefined;
    const known = {
      hidden: input(TEACHER_INPUTS.hidden, 'float32', [rows, teacher.width]),
      head: { weight, bias, softcap: teacher.softcap },
    };
    const mix = { temperature, ratio, chunk: headChunk(rows, vocabSize) };
    return linearDistillation(hidden, head, targets, weights, known, mix);
  };
}

/**
 * Distillation from what was written down of a teacher: k of his probabilities for each row. The student's
 * log-softmax stays over the whole vocabulary.
 */
export function offlineLoss(k: number, settings: DistillationSettings): Loss {
  checkDistillation(settings);
  const { temperature, ratio } = settings;
  return ({ hidden, head, targets, weights, rows, vocabSize }) => {
    const known = {
      ids: input(TEACHER_INPUTS.ids, 'int32', [rows, k]),
      probabilities: input(TEACHER_INPUTS.probabilities, 'float32', [rows, k]),
    };
    const mix = { temperature, ratio, chunk: headChunk(rows, vocabSize) };
    return sparseDistillation(hidden, head, targets, weights, known, mix);
  };
}
