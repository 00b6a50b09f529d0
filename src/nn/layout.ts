import type { Module } from './module.ts';

/**
 * The checkpoint names of a module's parts: each part's role and the name of the property that holds it, in the order
 * of the tree that PyTorch prints.
 */
export type ChildNames<Role extends string = string> = Readonly<Partial<Record<Role, string>>>;

/** A module's class name, as PyTorch prints it, and the names of its parts. */
export interface ModuleNames<Role extends string = string> {
  readonly type: string;
  readonly children: ChildNames<Role>;
}

/**
 * Makes modules the children of `parent` under the checkpoint's names for their roles, in the order of the names. A
 * part that the checkpoint's own models lack (an exchanged one) takes its role as its name.
 */
export function adopt<Role extends string>(
  parent: Module,
  names: ChildNames<Role>,
  parts: Readonly<Partial<Record<Role, Module | undefined>>>,
): void {
  const roles = new Set([...Object.keys(names), ...Object.keys(parts)] as Role[]);
  for (const role of roles) {
    const part = parts[role];
    if (part) Object.defineProperty(parent, names[role] ?? role, { value: part, enumerable: true });
  }
}
