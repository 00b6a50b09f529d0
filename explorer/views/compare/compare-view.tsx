import { useMemo } from 'preact/hooks';
import { families } from '../../../src/families/registry.ts';
import { blockDiagram } from '../../../src/inspect/diagram.ts';
import { type NamedModel, namedPreset } from '../../../src/inspect/named-model.ts';
import { useApp } from '../../app/context.ts';
import { modelsParam, numberParam } from '../../app/route.ts';
import { builtModel } from '../../ui/built-model.ts';
import { PresetChoice } from '../../ui/preset-choice.tsx';
import { PartPanel } from './part-panel.tsx';
import { Tables } from './tables.tsx';

const COLUMNS = [0, 1, 2, 3];
const DEFAULT = families
  .map(({ name }) => name)
  .filter((name) => ['gpt', 'gemma', 'gemma2', 'llama'].includes(name));

/** Two to four models side by side. */
export function CompareView() {
  const { t, route, setParams, ownModels, locale } = useApp();
  const { params } = route;
  const names = (modelsParam(params) ?? DEFAULT).slice(0, COLUMNS.length);
  const known = useMemo(() => {
    const found = names.map((name): NamedModel | undefined => {
      const own = ownModels.find(({ id }) => id === name);
      return own ? { ...builtModel(own), name: own.name, isFamily: false } : namedPreset(name);
    });
    return found;
  }, [names.join(), ownModels]);
  const models = known.filter((model) => model !== undefined);
  const twice = new Set(models.map(({ name }) => name)).size < models.length;
  const slot = params.get('part');
  const column = numberParam(params, 'of', 0, models.length - 1) ?? 0;
  const context = numberParam(params, 'context', 1, 2 ** 24) ?? 8192;
  const fits = models.length >= 2 && !twice;
  const choose = (at: number, name: string) => {
    const next = COLUMNS.map((i) => (i === at ? name : (names[i] ?? '')));
    setParams({ models: next.filter((each) => each !== '').join(','), part: null, of: null }, { push: true });
  };
  return (
    <>
      <p class="lead">{t.compare.lead}</p>
      <form class="controls" onSubmit={(event) => event.preventDefault()}>
        {COLUMNS.map((i) => (
          <PresetChoice
            key={i}
            label={t.compare.column(i + 1)}
            value={names[i] ?? ''}
            optional={i >= 2}
            onChange={(name) => choose(i, name)}
          />
        ))}
      </form>
      {twice && <p class="notice">{t.compare.twice}</p>}
      {models.length < 2 && <p class="notice">{t.compare.two}</p>}
      {fits && (
        <>
          <section class="card">
            <h2>{t.compare.diagram}</h2>
            <p class="soft">{t.compare.diagramHint}</p>
            <div class={slot ? 'with-panel' : undefined}>
              <Diagram
                svg={blockDiagram(models, locale, { chosen: slot ? { slot, model: column } : null })}
                columns={models.length}
                onChoose={(part, of) => setParams({ part, of: String(of) })}
              />
              {slot && (
                <PartPanel
                  {...{ models, slot, column, context }}
                  onContext={(value) => setParams({ context: String(value) })}
                  onClose={() => setParams({ part: null, of: null })}
                />
              )}
            </div>
          </section>
          <Tables models={models} />
        </>
      )}
    </>
  );
}

interface DiagramProps {
  readonly svg: string;
  readonly columns: number;
  onChoose(slot: string, column: number): void;
}

/** The library's own picture, whose boxes are buttons here. */
function Diagram({ svg, columns, onChoose }: DiagramProps) {
  const choose = (event: Event) => {
    const box = (event.target as Element).closest<SVGGElement>('[data-slot]');
    if (!box) return;
    event.preventDefault();
    onChoose(box.dataset.slot!, Number(box.dataset.model));
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the buttons are inside
    <div
      class="diagram scroll"
      style={{ '--columns': columns }}
      dangerouslySetInnerHTML={{ __html: svg }}
      onClick={choose}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        const { slot, model } =
          ((event.target as Element).closest('[data-slot]') as SVGGElement | null)?.dataset ?? {};
        choose(event);
        // The picture is drawn anew: the focus stays on the same box.
        const again = () =>
          document.querySelector<SVGGElement>(`[data-slot="${slot}"][data-model="${model}"]`)?.focus();
        requestAnimationFrame(() => requestAnimationFrame(again));
      }}
    />
  );
}
