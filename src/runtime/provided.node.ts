import type { ProductPart, ProductWeight, ProvidedTensor, ProvidedWeight } from '../onnx/emit.ts';
import { tensorBytes } from '../onnx/layout-cache.ts';
import { type Block, elementTypes, type Library, type Pointer } from './library.node.ts';

interface Entry {
  readonly tensor: ProvidedTensor;
  readonly name: Buffer;
  readonly value: Pointer;
  /** Memory of its own; undefined once it is freed, and for a part of shared memory. */
  block: Block | undefined;
}

/**
 * Weights passed to a session outside its model, in memory that we can free. The engine keeps the weights of products
 * in a packed form and then never reads these again, so they are freed once the session exists.
 */
export class ProvidedWeights {
  readonly #entries: Entry[] = [];
  readonly #shared: Pick<Block, 'free'>[] = [];

  readonly #library: Library;

  constructor(library: Library) {
    this.#library = library;
  }

  async add({ tensors, fill }: ProvidedWeight): Promise<void> {
    const targets = tensors.map((tensor) => {
      const block = this.#library.allocate(tensorBytes(tensor));
      this.#addAt(tensor, block.data, block);
      const { buffer, byteOffset, byteLength } = block.bytes;
      return tensor.type === 'uint8' ? block.bytes : new Float32Array(buffer, byteOffset, byteLength / 4);
    });
    await fill(targets);
  }

  /** Adds tensors that are already in memory, each at an offset, which `free` frees once the session is released. */
  addShared(
    tensors: readonly ProvidedTensor[],
    offsets: readonly number[],
    memory: Pick<Block, 'data' | 'free'>,
  ): void {
    this.#shared.push(memory);
    for (const [i, tensor] of tensors.entries())
      this.#addAt(tensor, BigInt(memory.data) + BigInt(offsets[i]!), undefined);
  }

  #addAt(tensor: ProvidedTensor, data: Pointer, block: Block | undefined): void {
    const { api, koffi, cpu } = this.#library;
    const type = elementTypes[tensor.type];
    const byteLength = tensorBytes(tensor);
    const sizes = BigInt64Array.from(tensor.shape, BigInt);
    const address = koffi.address(sizes);
    const value = this.#library.out((out) =>
      api.createTensorWithData(cpu, data, byteLength, address, sizes.length, type, out),
    );
    this.#entries.push({ tensor, name: Buffer.from(`${tensor.name}\0`), value, block });
  }

  /**
   * Weights of products are read in place. The engine copies the others, because it may compute with them while it
   * prepares the model; for another device it copies all.
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
      if (entry.block && product && (await packs(product.weight)).has(product.part)) this.#free(entry);
    }
  }

  /** Fills the memory of a part with zeros, which does not affect what has been packed. */
  overwrite(part: ProductPart): void {
    for (const { tensor, block } of this.#entries) {
      if (tensor.product?.part === part) block?.bytes.fill(0);
    }
  }

  /** Frees everything; the session must have been released. */
  release(): void {
    for (const entry of this.#entries) this.#free(entry);
    for (const { value } of this.#entries) this.#library.api.releaseValue(value);
    this.#entries.length = 0;
    for (const memory of this.#shared.splice(0)) memory.free();
  }

  #free(entry: Entry): void {
    entry.block?.free();
    entry.block = undefined;
  }
}
