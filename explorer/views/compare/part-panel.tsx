import { slots } from '../../../src/inspect/blocks.ts';
import { bytes, flops, sizeName, whole } from '../../../src/inspect/format.ts';
import type { NamedModel } from '../../../src/inspect/named-model.ts';
import { useApp, useLoaded } from '../../app/context.ts';
import { Slider } from '../../ui/slider.tsx';
import { percentText } from '../../ui/token-text.ts';
import { formulaOf } from './formulas.ts';
import { factsOf } from './part-facts.ts';
import { reasonsFor } from './reasons.ts';
import { sourceOf } from './sources.ts';

interface PartPanelProps {
  readonly models: readonly NamedModel[];
  readonly slot: string;
  readonly column: number;
  readonly context: number;
  onContext(context: number): void;
  onClose(): void;
}

/** Everything about one block of one model. */
export function PartPanel({ models, slot, column, context, onContext, onClose }: PartPanelProps) {
  const { t, locale } = useApp();
  const words = t.compare.part;
  const model = models[column]!;
  const place = slots.find(({ name }) => name === slot);
  const block = place?.block(model);
  if (!place || !block) return null;
  const facts = factsOf(slot, model, Math.min(context, model.model.maxPositions));
  const formula = formulaOf(slot, model);
  const left = models[column - 1];
  const before = left && place.block(left);
  const replaced = !left
    ? words.first
    : !before
      ? words.added(left.name)
      : before.sort === block.sort
        ? words.same(left.name)
        : words.changed(left.name, [before.title, ...before.details].map((text) => text[locale]).join(', '));
  const steps = Math.log2(model.model.maxPositions);
  return (
    <aside class="part-panel" aria-live="polite">
      <header>
        <div>
          <p class="soft">{model.name}</p>
          <h3>{block.title[locale]}</h3>
        </div>
        <button type="button" onClick={onClose}>
          {words.close}
        </button>
      </header>
      <p class="soft">{block.details.map((detail) => detail[locale]).join(' · ')}</p>
      {formula && (
        <section>
          <h4>{words.formula}</h4>
          <div class="formula" dangerouslySetInnerHTML={{ __html: formula }} />
        </section>
      )}
      <section>
        <h4>{words.replaced}</h4>
        <p>{replaced}</p>
        {reasonsFor(slot, model).map((reason) => (
          <p key={reason}>{t.compare.why[reason]}</p>
        ))}
      </section>
      <section>
        <h4>{words.weights}</h4>
        {facts.weights.length === 0 ? (
          <p>{words.none}</p>
        ) : (
          <>
            <div class="scroll">
              <table>
                <thead>
                  <tr>
                    <th scope="col">{words.weight}</th>
                    <th scope="col">{words.shape}</th>
                    <th scope="col" class="number">
                      {words.copies}
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {facts.weights.map(({ name, shape, count }) => (
                    <tr key={name}>
                      <th scope="row">
                        <code>{name.replace(/^(?:model|transformer)\.(?:layers\.|h\.)?/, '')}</code>
                      </th>
                      <td>{shape.map(whole).join(' × ')}</td>
                      <td class="number">{count}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            <p>
              {words.parameters}: <strong>{sizeName(facts.parameters)}</strong>,{' '}
              {words.share(percentText(facts.parameters / model.model.parameterCount()))}
            </p>
            {facts.shared && <p>{words.shared}</p>}
          </>
        )}
      </section>
      {facts.flops > 0 && (
        <section>
          <h4>{words.cost}</h4>
          {facts.cache !== undefined && (
            <Slider
              label={words.context}
              min={7}
              max={steps}
              step={steps % 1 === 0 ? 1 : 0.5}
              value={Math.min(steps, Math.log2(context))}
              shown={whole(Math.min(context, model.model.maxPositions))}
              onInput={(value) => onContext(Math.round(2 ** value))}
            />
          )}
          <p>
            {words.flops}: <strong>{flops(facts.flops)}</strong>
          </p>
          {facts.cache !== undefined && (
            <p>
              {words.cache}: <strong>{bytes(facts.cache)}</strong>
            </p>
          )}
        </section>
      )}
      <Code model={model} slot={slot} />
    </aside>
  );
}

function Code({ model, slot }: { model: NamedModel; slot: string }) {
  const words = useApp().t.compare.part;
  const { value } = useLoaded(() => sourceOf(slot, model), [model, slot]);
  if (!value) return null;
  return (
    <section>
      <h4>{words.code}</h4>
      <p class="soft">{words.from(value.path, value.line)}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <pre tabIndex={0}>
        <code>{value.text}</code>
      </pre>
    </section>
  );
}
