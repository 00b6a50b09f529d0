import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { sizeOf } from '../../graph/dims.ts';
import { HostMemory } from '../../runtime/host-memory.ts';
import {
  createOptimizer,
  OPTIMIZERS,
  optimizerOptions,
  optimizerRecord,
  optionsOf,
} from './create-optimizer.ts';
import { allocateTrainable } from './optimizer.ts';

const SHAPES = [
  { name: 'embedding', shape: [300, 24] },
  { name: 'experts', shape: [3, 8, 40] },
  { name: 'norm', shape: [7] },
];

describe.each(OPTIMIZERS)('the record of the optimizer %s', (name) => {
  const record = optimizerRecord(name);
  const variants = [
    {},
    ...Object.entries(record.options).flatMap(([option, schema]) =>
      schema instanceof z.ZodEnum ? schema.options.map((choice) => ({ [option]: choice })) : [],
    ),
  ];

  it('has a default for each of its options, which its schema accepts', () => {
    expect(Object.keys(record.defaults).sort()).toEqual(Object.keys(record.options).sort());
    expect(optionsOf(name, record.defaults)).toEqual(record.defaults);
  });

  it('gives an option the type that it has in every other optimizer', () => {
    const typeOf = (schema: unknown) => z.toJSONSchema(schema as z.ZodType, { unrepresentable: 'any' });
    for (const [option, schema] of Object.entries(record.options)) {
      expect(typeOf(schema), option).toEqual(typeOf(optimizerOptions[option as 'eps']));
    }
  });

  it.each(variants)('states the size of its state to the byte: %o', (given) => {
    const options = optionsOf(name, given as object);
    const parameters = allocateTrainable(new HostMemory(), SHAPES);
    const optimizer = createOptimizer(name, parameters, given as object);
    const kept = [...optimizer.state().tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    expect(SHAPES.reduce((sum, { shape }) => sum + record.stateBytes(shape, options), 0)).toBe(kept);
    const weights = SHAPES.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    expect(optimizer.bytesPerParameter).toBeCloseTo(kept / weights, 10);
  });

  it('creates an optimizer that moves weights against their gradients and whose state another one accepts', () => {
    const make = () => allocateTrainable(new HostMemory(), SHAPES);
    const [first, second] = [make(), make()];
    const fill = (parameters: typeof first, step: number) => {
      for (const { gradient } of parameters) gradient.set(gradient.map((_, i) => Math.sin(i + step) + 2));
    };
    const one = createOptimizer(name, first, { seed: 3 });
    for (const { value } of first) value.fill(1);
    for (const step of [1, 2]) {
      fill(first, step);
      one.step(first, { learningRate: 0.01 });
    }
    for (const { value } of first) expect(value.every((each) => each < 1)).toBe(true);
    for (const [i, { value }] of second.entries()) value.set(first[i]!.value);
    const other = createOptimizer(name, second, { seed: 3 });
    const { steps, tensors } = one.state();
    other.restore({
      steps,
      tensors: new Map(
        [...tensors].map(([key, tensor]) => [key, { ...tensor, data: tensor.data.slice() } as typeof tensor]),
      ),
    });
    for (const [optimizer, parameters] of [
      [one, first],
      [other, second],
    ] as const) {
      fill(parameters, 3);
      optimizer.step(parameters, { learningRate: 0.01 });
    }
    expect(second.map(({ value }) => value)).toEqual(first.map(({ value }) => value));
  });
});
