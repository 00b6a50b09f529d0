/** The engine that runs graphs (ONNX Runtime), and graphs compiled for it. */
export { nodeEngine } from './engine.node.ts';
export * from './index.ts';
