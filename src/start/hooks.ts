import type { CausalLM } from '../families/family.ts';
import type { Tensor } from '../graph/tensor.ts';
import { type Module, ModuleList, Sequential } from '../nn/module.ts';
import { LayerNorm, RMSNorm } from '../nn/norm.ts';

type Forward = (x: Tensor, ...rest: readonly unknown[]) => Tensor;

/**
 * Lets `wrap` take the place of one module's forward, as PyTorch's forward hooks do: measurements look inside the
 * models that run, and the families stay free of them.
 */
export function hook(module: Module, wrap: (forward: Forward) => Forward): void {
  const hooked = module as Module & { forward: Forward };
  hooked.forward = wrap(hooked.forward.bind(module));
}

/** The model's decoder layers, first to last. */
export function layersOf(model: CausalLM): readonly Module[] {
  for (const [, module] of model.walk()) {
    if (module instanceof ModuleList && !(module instanceof Sequential))
      return module.items as readonly Module[];
  }
  return [];
}

/** Makes every norm inside the layers the identity; the last one, before the head, stays. */
export function removeNorms(model: CausalLM): void {
  for (const layer of layersOf(model)) {
    for (const [, module] of layer.walk()) {
      if (module instanceof LayerNorm || module instanceof RMSNorm) hook(module, () => (x) => x);
    }
  }
}

/** Records the residual stream while the graph is built: the input of each layer, then the last layer's output. */
export function recordStream(model: CausalLM): Tensor[] {
  const stream: Tensor[] = [];
  const layers = layersOf(model);
  layers.forEach((layer, i) => {
    hook(layer, (forward) => (x, ...rest) => {
      stream[i] = x;
      const out = forward(x, ...rest);
      stream[i + 1] = out;
      return out;
    });
  });
  return stream;
}
