import { sizeOf } from '../graph/dims.ts';
import type { ProductPart, ProductWeight, ProvidedTensor, ProvidedWeight } from '../onnx/emit.ts';
import { type Block, elementTypes, type Library, type Pointer } from './library.node.ts';

interface Entry {
  readonly tensor: ProvidedTensor;
  readonly name: Buffer;
  readonly value: Pointer;
  readonly byteLength: number;
  block: Block | undefined;
}

/**
 * Weights that are handed to a session beside its model, in memory that is ours to free. The engine keeps products'
 * weights in a form of its own and then never looks at these again: they are freed as soon as the session stands.
 */
export class ProvidedWeights {
  readonly #entries: Entry[] = [];

  readonly #library: Library;

  constructor(library: Library) {
    this.#library = library;
  }

  async add({ tensors, fill }: ProvidedWeight): Promise<void> {
    const { api, koffi, cpu } = this.#library;
    const targets = tensors.map((tensor) => {
      const type = elementTypes[tensor.type];
      const byteLength = sizeOf(tensor.shape) * (tensor.type === 'uint8' ? 1 : 4);
      const block = this.#library.allocate(byteLength);
      const { data } = block;
      const sizes = BigInt64Array.from(tensor.shape, BigInt);
      const address = koffi.address(sizes);
      const value = this.#library.out((out) =>
        api.createTensorWithData(cpu, data, byteLength, address, sizes.length, type, out),
      );
      this.#entries.push({ tensor, name: Buffer.from(`${tensor.name}\0`), value, byteLength, block });
      const memory = koffi.view(data, byteLength);
      return tensor.type === 'uint8' ? new Uint8Array(memory) : new Float32Array(memory);
    });
    await fill(targets);
  }

  /**
   * The weights of products are read where they are. The engine copies the others, which it may compute with while it
   * prepares the model; and all of them, for another device.
   */
  giveTo(options: Pointer, device: 'cpu' | 'other'): void {
    const library = this.#library;
    const { api, koffi } = library;
    const shared = this.#entries.filter(({ tensor }) => tensor.product && device === 'cpu');
    for (const { name, value } of shared)
      library.check(api.addInitializer(options, koffi.address(name), value));
    const copied = this.#entries.filter(({ tensor }) => !(tensor.product && device === 'cpu'));
    if (copied.length === 0) return;
    const names = BigUint64Array.from(copied, ({ name }) => koffi.address(name));
    const values = BigUint64Array.from(copied, ({ value }) => BigInt(value));
    library.check(
      api.addExternalInitializers(options, koffi.address(names), koffi.address(values), copied.length),
    );
  }

  /** Frees what the engine has packed. */
  async releasePacked(packs: (product: ProductWeight) => Promise<ReadonlySet<ProductPart>>): Promise<void> {
    for (const entry of this.#entries) {
      const { product } = entry.tensor;
      if (product && (await packs(product.weight)).has(product.part)) this.#free(entry);
    }
  }

  /** Fills the memory of a part with zeros: what has been packed does not notice. */
  overwrite(part: ProductPart): void {
    for (const { tensor, block, byteLength } of this.#entries) {
      if (block && tensor.product?.part === part)
        new Uint8Array(this.#library.koffi.view(block.data, byteLength)).fill(0);
    }
  }

  /** Frees all of it; the session must be gone. */
  release(): void {
    for (const entry of this.#entries) this.#free(entry);
    for (const { value } of this.#entries) this.#library.api.releaseValue(value);
    this.#entries.length = 0;
  }

  #free(entry: Entry): void {
    entry.block?.free();
    entry.block = undefined;
  }
}
