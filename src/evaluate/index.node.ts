/** Evaluation on tasks in the format of lm-evaluation-harness 0.4.13; two models in pairs. */
export { type ComparedTask, compareEvaluations, type MetricComparison } from './compare.ts';
export type { Evaluation } from './evaluate.ts';
export { type EvaluatePathOptions, evaluatePath } from './evaluate-path.node.ts';
export { buildEvaluationReport, type ReportedEvaluations } from './report.ts';
export type { EvaluationResult, GroupResult, ItemResult, MetricResult, TaskResult } from './results.ts';
export type { ScoredTask } from './score-task.ts';
export { type SelectedTasks, selectTasks } from './tasks/select.node.ts';
