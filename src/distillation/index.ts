/** A small model taught by a large one: losses, teachers and what they have written down. */
export { type ChosenEntries, largest, sampled } from './choose.ts';
export { type DistillationSettings, offlineLoss, onlineLoss, TEACHER_INPUTS } from './losses.ts';
export { OnlineSource } from './online-source.ts';
export { Teacher, type TeacherWeights } from './teacher.ts';
