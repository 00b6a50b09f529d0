/** Knowledge distillation: losses, teachers, and recorded probabilities of teachers. */
export { type ChosenEntries, largest, sampled } from './choose.ts';
export {
  type DistillationSettings,
  offlineLoss,
  onlineLoss,
  TEACHER_INPUTS,
  type TeacherHead,
} from './losses.ts';
export { OnlineSource } from './online-source.ts';
export type { DecodedRow } from './taught-format.ts';
export { Teacher, type TeacherWeights } from './teacher.ts';
