/** What models are made of and what they cost: tables, trees, differences and diagrams. */
export * from './index.ts';
export { namedModel } from './named-model.node.ts';
