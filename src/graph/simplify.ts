import { sizeOf } from './dims.ts';
import { constant, constantOp } from './operators/sources.ts';
import { type Rule, rewrite, withInputs } from './rewrite.ts';
import { type Attributes, type Dialect, isNodeOf, type Tensor } from './tensor.ts';
import type { Values } from './values.ts';

/** Constants up to this many elements are computed when the graph is built. */
const FOLD_LIMIT = 1 << 20;

/**
 * An equivalent, smaller graph: composites without a lowering are expanded, equal nodes merged, constants folded, and
 * identities removed. Nodes behind different barriers are different nodes, so nothing is merged across a
 * recomputation barrier.
 *
 * @param dialect which lowerings exist.
 * @returns the outputs in the new graph, in order. Nodes that nothing depends on are removed.
 */
export function simplify(outputs: readonly Tensor[], dialect: Dialect): Tensor[] {
  return rewrite(outputs, [expansion(dialect), identity, folding, merging()]);
}

/** Expands composites that have no lowering in the dialect. */
function expansion(dialect: Dialect): Rule {
  return {
    apply({ operator, attributes }, inputs, rewrite) {
      const usable =
        operator.lower &&
        !(operator.engineOnly && dialect === 'standard') &&
        (operator.fits?.(inputs, attributes, dialect) ?? true);
      return usable || !operator.expand ? undefined : rewrite(operator.expand(inputs, attributes));
    },
  };
}

/** Removes operators that change nothing. */
const identity: Rule = {
  apply({ operator, attributes }, inputs) {
    const same = operator.identity?.(inputs, attributes);
    return same && [same];
  },
};

/** Folds constants. */
const folding: Rule = {
  apply({ operator, attributes, outputs: [output, ...others] }, inputs) {
    if (inputs.length === 0 || others.length > 0 || operator.unique || !operator.evaluate) return undefined;
    const { dtype, shape } = output!;
    const known = shape.every((dim): dim is number => typeof dim === 'number');
    if (dtype === 'bool' || dtype === 'float16' || !known || sizeOf(shape) > FOLD_LIMIT) return undefined;
    const values: Values[] = [];
    for (const { node } of inputs) {
      if (!isNodeOf(node, constantOp)) return undefined;
      values.push(constantOp.evaluate!([], node.attributes)[0]!);
    }
    const value = operator.evaluate(values, attributes)[0]!;
    return [constant(value.data, value.shape, dtype)];
  },
};

/** Merges equal nodes. */
function merging(): Rule {
  const seen = new Map<string, readonly Tensor[]>();
  const identities = new Map<object, number>();
  return {
    apply(node, inputs) {
      const { operator, attributes } = node;
      if (operator.unique) return undefined;
      const key = `${operator.name}(${inputs.map(tensorKey).join()})${attributesKey(attributes, identities)}`;
      const outputs = seen.get(key) ?? withInputs(node, inputs);
      seen.set(key, outputs);
      return outputs;
    },
  };
}

function tensorKey(tensor: Tensor): string {
  return `${tensor.node.id}.${tensor.index}`;
}

/** Equal attributes give equal text; large arrays are equal only if they are the same array. */
function attributesKey(attributes: Attributes, identities: Map<object, number>): string {
  return JSON.stringify(attributes, (_key, value: unknown) => {
    if (typeof value === 'object' && value !== null) {
      if ('terms' in value) return String(value);
      const length = 'length' in value && typeof value.length === 'number' ? value.length : 0;
      if (length > 64) {
        if (!identities.has(value)) identities.set(value, identities.size);
        return `array ${identities.get(value)}`;
      }
    }
    return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
  });
}
