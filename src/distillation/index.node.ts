/** Knowledge distillation: losses, teachers, students, and recorded probabilities of teachers. */

export { openDistillation } from './distill.node.ts';
export * from './index.ts';
export { type OpenedTeacher, openTeacher, startTeacher } from './open-teacher.node.ts';
export { openStudent, type Student, type StudentOrigin } from './student.node.ts';
export { type StudentFiles, studentFiles } from './student-files.node.ts';
export { studentOrigin } from './student-origin.node.ts';
export { OfflineSource, TaughtFile, type TaughtState } from './taught-file.node.ts';
export {
  onlineTeaching,
  type TeachingExamplesOptions,
  type TeachingRows,
  type TeachingRowsOptions,
  teachingExamples,
  teachingText,
} from './teaching-rows.node.ts';
