/** The structure and cost of models: tables, trees, differences and diagrams. */
export { type ComparisonTable, footnotes, type Row, tables } from './compare.ts';
export {
  attentionFlopsPerToken,
  cacheBytes,
  cacheBytesPerToken,
  type NumberFormat,
  weightFlopsPerToken,
} from './costs.ts';
export { blockDiagram, type ChosenBlock, type DiagramOptions } from './diagram.ts';
export { type DiffRow, diffTrees, type FieldChange, type Mark } from './diff.ts';
export { type DiffTextOptions, renderDiff } from './diff-text.ts';
export type { Locale } from './labels.ts';
export { type NamedModel, namedPreset } from './named-model.ts';
export type { Role } from './roles.ts';
export { type CostAt, type ModelSummary, type NormPlacement, summarize } from './summary.ts';
export { printTree, type TreeOptions } from './tree.ts';
