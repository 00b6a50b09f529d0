/** The structure and cost of models: tables, trees, differences and diagrams. */
export * from './index.ts';
export { namedModel } from './named-model.node.ts';
