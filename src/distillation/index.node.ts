/** Knowledge distillation: losses, teachers, students, and recorded probabilities of teachers. */

export { openDistillation } from './distill.node.ts';
export * from './index.ts';
export { type OpenedTeacher, openTeacher, startTeacher } from './open-teacher.node.ts';
export { openStudent, type Student, type StudentOrigin } from './student.node.ts';
export { OfflineSource, TaughtFile } from './taught-file.node.ts';
