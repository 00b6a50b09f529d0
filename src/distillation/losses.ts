import { RopewalkError } from '../errors.ts';
import { input, linearDistillation, sparseDistillation } from '../graph/operators/index.ts';
import { headChunk, type Loss } from '../training/loss.ts';

/** The teacher's share of the loss, and the temperature. */
export interface DistillationSettings {
  /**
   * T: teacher and student are compared at softmax(logits / T), and the divergence is scaled by T², so that the size
   * of its gradients does not depend on T (Hinton et al. 2015, arXiv:1503.02531, section 2). Above 0.
   */
  readonly temperature: number;
  /** λ in λ · T² · KL(teacher ‖ student) + (1 − λ) · cross-entropy; above 0, at most 1. */
  readonly ratio: number;
}

/** What a graph must know about a teacher's head. */
export interface TeacherHead {
  /** The width of its hidden states. */
  readonly width: number;
  readonly softcap: number | null;
  readonly bias: boolean;
}

/** Names of the inputs that these losses add, all in `TrainingRows.extra`. */
export const TEACHER_INPUTS = {
  /** float32 `[rows, teacher's width]`, after the teacher's final norm. */
  hidden: 'teacher.hidden',
  /** float32 `[vocab, teacher's width]`. */
  weight: 'teacher.head.weight',
  /** float32 `[vocab]`. */
  bias: 'teacher.head.bias',
  /** int32 `[rows, k]`. */
  ids: 'teacher.ids',
  /** float32 `[rows, k]`, each row summing to 1; 0 for an unused place. */
  probabilities: 'teacher.probabilities',
} as const;

/** @throws RopewalkError naming the invalid setting. */
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
 * Distillation from an online teacher: its logits are computed from its hidden states, chunk by chunk, together with
 * the student's, both with their models' caps.
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
 * Distillation from recorded probabilities of a teacher, k per row. The student's log-softmax is over the whole
 * vocabulary.
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
