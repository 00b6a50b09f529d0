/** Several arrays as one sequence of numbers. */
export class Segments {
  readonly length: number;
  readonly #arrays: readonly Float32Array[];
  /** Where each array begins. */
  readonly #starts: readonly number[];

  constructor(arrays: readonly Float32Array[]) {
    this.#arrays = arrays.filter(({ length }) => length > 0);
    let length = 0;
    this.#starts = this.#arrays.map((array) => {
      length += array.length;
      return length - array.length;
    });
    this.length = length;
  }

  /** Copies numbers from `at` on. */
  read(at: number, target: Float32Array): void {
    this.#each(at, target.length, (array, start, end, done) => target.set(array.subarray(start, end), done));
  }

  /** Replaces numbers from `at` on. */
  write(at: number, source: Float32Array): void {
    this.#each(at, source.length, (array, start, end, done) =>
      array.set(source.subarray(done, done + end - start), start),
    );
  }

  #each(
    at: number,
    length: number,
    visit: (array: Float32Array, start: number, end: number, done: number) => void,
  ): void {
    let done = 0;
    for (let i = this.#indexAt(at); done < length; i++) {
      const array = this.#arrays[i]!;
      const start = at + done - this.#starts[i]!;
      const end = Math.min(array.length, start + length - done);
      visit(array, start, end, done);
      done += end - start;
    }
  }

  /** The array that has element `at`. */
  #indexAt(at: number): number {
    let [low, high] = [0, this.#starts.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#starts[middle]! <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
