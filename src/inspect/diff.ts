import type { CausalLM } from '../families/family.ts';
import { partsOf } from './model-parts.ts';
import { factsOf, kindOf, moduleChanges } from './module-changes.ts';
import type { Role, Roles } from './roles.ts';
import { nodeLine, type TreeNode, treeOf } from './tree.ts';

export type Mark = 'same' | 'added' | 'removed' | 'renamed' | 'changed' | 'replaced';

/** A difference in one field. */
export interface FieldChange {
  readonly field: string;
  readonly left: string;
  readonly right: string;
}

/** One line of two printed trees laid side by side. */
export interface DiffRow {
  readonly role: Role;
  /** The line of each tree, indented as PyTorch prints it. */
  readonly left?: string;
  readonly right?: string;
  /** The most significant change: replaced, then changed, then renamed. */
  readonly mark: Mark;
  /** All changes: a norm can be renamed and replaced at once; resized means different sizes, otherwise the same. */
  readonly changes: readonly ('renamed' | 'resized' | 'changed' | 'replaced')[];
  /** What changed, whether or not the line shows it (windows and caps are in no printed tree). */
  readonly fields: readonly FieldChange[];
  /** Set on the line that only closes what is above it. */
  readonly closing?: true;
}

interface Side {
  readonly model: CausalLM;
  readonly roles: Roles;
}

/**
 * Aligns two printed trees, matched by the role of each module rather than its name, and marks what was added,
 * removed, renamed, changed and replaced. The order is the left tree's; PyTorch's plain tensors that act like modules
 * (sinusoidal positions) are shown in square brackets.
 */
export function diffTrees(left: CausalLM, right: CausalLM): DiffRow[] {
  const differ = new TreeDiffer(
    { model: left, roles: partsOf(left).roles },
    { model: right, roles: partsOf(right).roles },
  );
  return differ.pair(treeOf(left, { annotated: true }), treeOf(right, { annotated: true }), 0);
}

class TreeDiffer {
  readonly #left: Side;
  readonly #right: Side;

  constructor(left: Side, right: Side) {
    this.#left = left;
    this.#right = right;
  }

  /** Rows of two modules with the same role, and their contents. */
  pair(a: TreeNode, b: TreeNode, depth: number): DiffRow[] {
    const fields = moduleChanges(factsOf(a, this.#left.model), factsOf(b, this.#right.model));
    const changes: DiffRow['changes'][number][] = [];
    const replaced = kindOf(a.module) !== kindOf(b.module);
    const sameLabel = a.label === b.label || (isNumber(a.label) && isNumber(b.label));
    if (!sameLabel || (!replaced && a.module.typeName !== b.module.typeName)) changes.push('renamed');
    if (fields.some(({ isSize }) => isSize)) changes.push('resized');
    if (!replaced && fields.some(({ isSize }) => !isSize)) changes.push('changed');
    if (replaced) changes.push('replaced');
    const role = roleOf(a, this.#left);
    const mark: Mark = replaced
      ? 'replaced'
      : changes.includes('changed') || changes.includes('resized')
        ? 'changed'
        : changes.includes('renamed')
          ? 'renamed'
          : 'same';
    const row: DiffRow = {
      role,
      left: indent(depth) + nodeLine(a),
      right: indent(depth) + nodeLine(b),
      mark,
      changes,
      fields: fields.map(({ field, left, right }) => ({ field, left, right })),
    };
    const inner = this.#align(a.children, b.children, depth + 1);
    const closing: DiffRow[] = [];
    if (a.children.length > 0 || b.children.length > 0) {
      const end = `${indent(depth)})`;
      const sides = {
        ...(a.children.length > 0 && { left: end }),
        ...(b.children.length > 0 && { right: end }),
      };
      closing.push({ role, ...sides, mark: 'same', changes: [], fields: [], closing: true });
    }
    return [row, ...inner, ...closing];
  }

  #align(left: readonly TreeNode[], right: readonly TreeNode[], depth: number): DiffRow[] {
    const leftKeys = keysOf(left, this.#left);
    const rightKeys = keysOf(right, this.#right);
    const partners = leftKeys.map((keys) =>
      right.flatMap((_, j) => (rightKeys[j]!.some((key) => keys.includes(key)) ? [j] : [])),
    );
    const placed = new Set<number>();
    const groups = left.map((node, i) => {
      const free = partners[i]!.filter((j) => !placed.has(j));
      for (const j of free) placed.add(j);
      const [first, ...rest] = free;
      const rows =
        first === undefined
          ? this.#alone(node, 'left', partners[i]!.length > 0 ? 'replaced' : 'removed', depth)
          : this.pair(node, right[first]!, depth);
      // Several modules replace one: none of them is new.
      for (const j of rest) rows.push(...this.#alone(right[j]!, 'right', 'replaced', depth));
      return { rights: free, rows };
    });
    for (const [j, node] of right.entries()) {
      if (placed.has(j)) continue;
      // After the line that it follows in its own tree.
      const before = groups.findIndex(({ rights }) => rights.includes(j - 1));
      groups.splice(before + 1, 0, { rights: [j], rows: this.#alone(node, 'right', 'added', depth) });
    }
    return groups.flatMap(({ rows }) => rows);
  }

  #alone(node: TreeNode, side: 'left' | 'right', mark: Mark, depth: number): DiffRow[] {
    const changes = mark === 'replaced' ? (['replaced'] as const) : [];
    const role = roleOf(node, side === 'left' ? this.#left : this.#right);
    const line = (text: string) => ({ role, [side]: indent(depth) + text, mark, changes, fields: [] });
    if (node.children.length === 0) return [line(nodeLine(node))];
    const inner = node.children.flatMap((child) => this.#alone(child, side, mark, depth + 1));
    return [line(nodeLine(node)), ...inner, { ...line(')'), closing: true }];
  }
}

const indent = (depth: number) => '  '.repeat(depth);
const isNumber = (label: string) => /^\d+(-\d+)?$/.test(label);
const roleOf = (node: TreeNode, { roles }: Side): Role => roles.get(node.module)?.[0] ?? 'other';

/** Each node's roles, numbered if a role occurs there several times (dropouts, runs of layers). */
function keysOf(nodes: readonly TreeNode[], { roles }: Side): string[][] {
  const counts = new Map<Role, number>();
  return nodes.map(({ module }) =>
    (roles.get(module) ?? ['other' as const]).map((role) => {
      const count = counts.get(role) ?? 0;
      counts.set(role, count + 1);
      return `${role} ${count}`;
    }),
  );
}
