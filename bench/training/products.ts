import type { CausalLM } from '../../src/families/family.ts';
import { sizeOf } from '../../src/graph/dims.ts';
import { input, matmulFlops, slice } from '../../src/graph/operators/index.ts';
import { simplify } from '../../src/graph/simplify.ts';
import { apply, type Tensor } from '../../src/graph/tensor.ts';
import { topologicalOrder } from '../../src/graph/traverse.ts';
import { Random } from '../../src/random.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { Executable, type HostTensor } from '../../src/runtime/executable.ts';
import { type SequenceShape, trainingGraph } from '../../src/training/graph.ts';

/** The matrix products of a training step, without the rest of it. */
export interface BareProducts {
  readonly flops: number;
  run(): Promise<unknown>;
}

/**
 * Every matrix product of a step, in one session with nothing else: the limit of any step that the engine runs. One
 * session, because each has a pool of threads that spin for a while after a run.
 */
export async function bareProducts(
  engine: Engine,
  model: CausalLM,
  shape: SequenceShape,
): Promise<BareProducts> {
  const roots = simplify([...trainingGraph(model, shape).values()].flatMap(denseParts), 'onnxruntime');
  const outputs = new Map<string, Tensor>();
  const feeds: Record<string, HostTensor> = {};
  const arrays = new Map<number, Float32Array>();
  let flops = 0;
  for (const node of topologicalOrder(roots)) {
    if (node.operator.name !== 'matmul') continue;
    flops += matmulFlops(node) as number;
    // Separate inputs for each product, or the engine would compute equal ones once.
    const inputs = node.inputs.map((x, i) => {
      const size = sizeOf(x.shape as number[]);
      if (!arrays.has(size)) arrays.set(size, random(size));
      const name = `x${outputs.size}_${i}`;
      feeds[name] = { data: arrays.get(size)!, shape: x.shape as number[] };
      return input(name, 'float32', x.shape);
    });
    let result = apply(node.operator, inputs, node.attributes)[0]!;
    // Only one value of each result is returned: the cost of returning outputs is not part of the limit.
    for (let axis = 0; axis < result.rank; axis++) result = slice(result, axis, 0, 1);
    outputs.set(`y${outputs.size}`, result);
  }
  const executable = await Executable.compile(engine, outputs);
  return { run: () => executable.run(feeds), flops };
}

function random(size: number): Float32Array {
  const source = new Random(size);
  return Float32Array.from({ length: size }, () => source.next() - 0.5);
}

/** A scattered gradient consists of rows added on the host: only what the engine computes counts. */
function denseParts(tensor: Tensor): Tensor[] {
  const { operator, inputs } = tensor.node;
  if (operator.name === 'scatterRows') return [inputs[1]!];
  return operator.name === 'add' ? inputs.flatMap(denseParts) : [tensor];
}
