/** Knowledge distillation: losses, teachers, and recorded probabilities of teachers. */
export { type ChosenEntries, largest, sampled } from './choose.ts';
export { type DistillationSettings, offlineLoss, onlineLoss, TEACHER_INPUTS } from './losses.ts';
export { OnlineSource } from './online-source.ts';
export { Teacher, type TeacherWeights } from './teacher.ts';
