import { type Module, ModuleList, Sequential } from '../nn/module.ts';

/** A printed module with its children; equal neighbors in a list share one node. */
export interface TreeNode {
  /** `self_attn`, `3`, or `0-25` for a run of equal modules; empty for the root. */
  readonly label: string;
  /** The number of modules that this node represents. */
  readonly times: number;
  /** Path of the (first) module, as in checkpoints. */
  readonly path: string;
  readonly module: Module;
  readonly children: readonly TreeNode[];
}

export interface TreeOptions {
  /**
   * Also shows what PyTorch keeps as plain tensors rather than modules (sinusoidal positions), in square brackets.
   * Without this option, the text is exactly PyTorch's own.
   */
  readonly annotated?: boolean;
}

/** The printed tree as data: modules in PyTorch's order, with runs of equal ones in a list merged. */
export function treeOf(model: Module, options: TreeOptions = {}): TreeNode {
  return nodeOf(model, '', '', options);
}

function nodeOf(module: Module, label: string, path: string, options: TreeOptions): TreeNode {
  const children = [...module.children()]
    .filter(([, child]) => options.annotated || child.isPrinted)
    .map(([name, child]) => nodeOf(child, name, path === '' ? name : `${path}.${name}`, options));
  const collapses = module instanceof ModuleList && !(module instanceof Sequential);
  return { label, times: 1, path, module, children: collapses ? collapse(children) : children };
}

/** Merges neighbors that print alike, as PyTorch's ModuleList does: `(0-5): 6 x EncoderLayer(`. */
function collapse(children: readonly TreeNode[]): TreeNode[] {
  const runs: { first: TreeNode; last: TreeNode; times: number; text: string }[] = [];
  for (const child of children) {
    const text = nodeText(child);
    const run = runs.at(-1);
    if (run?.text === text) {
      run.last = child;
      run.times++;
    } else {
      runs.push({ first: child, last: child, times: 1, text });
    }
  }
  return runs.map(({ first, last, times }) =>
    times === 1 ? first : { ...first, label: `${first.label}-${last.label}`, times },
  );
}

/** A node's own line, without indentation and closing parenthesis. */
export function nodeLine({ label, times, module, children }: TreeNode): string {
  const name = label === '' ? '' : module.isPrinted ? `(${label}): ` : `[${label}]: `;
  const count = times === 1 ? '' : `${times} x `;
  return `${name}${count}${module.typeName}(${module.extra()}${children.length > 0 ? '' : ')'}`;
}

function linesOf(node: TreeNode, indent: string): string[] {
  const line = indent + nodeLine(node);
  if (node.children.length === 0) return [line];
  return [line, ...node.children.flatMap((child) => linesOf(child, `${indent}  `)), `${indent})`];
}

function nodeText(node: TreeNode): string {
  return linesOf({ ...node, label: '' }, '').join('\n');
}

/** A model as PyTorch prints it: the same text as `str(model)` of the reference. */
export function printTree(model: Module, options: TreeOptions = {}): string {
  return linesOf(treeOf(model, options), '').join('\n');
}
