import { useApp, useLoaded } from '../../app/context.ts';
import { numberParam } from '../../app/route.ts';
import { builtModel } from '../../ui/built-model.ts';
import { Attention } from './attention.tsx';
import { Candidates } from './candidates.tsx';
import { Lens, Residual } from './layers.tsx';
import { Tokens } from './tokens.tsx';

interface ModelRunProps {
  readonly id: string;
  readonly text: string;
  readonly temperature: number;
  readonly side: string;
}

/** One model and what it makes of the text. */
export function ModelRun({ id, text, temperature, side }: ModelRunProps) {
  const { t, route, setParams, models } = useApp();
  const { params } = route;
  const position = numberParam(params, 'at', 0, 1e6);
  const layer = numberParam(params, 'layer', 0, 1e4) ?? 0;
  const head = numberParam(params, 'head', 0, 1e4) ?? 0;
  const opened = useLoaded(() => models.call('open', id), [id]);
  const run = useLoaded(
    () =>
      text === ''
        ? undefined
        : models.call(
            'run',
            { model: id, text, temperature, layer, ...(position !== undefined && { position }) },
            `run ${side}`,
          ),
    [id, text, temperature, layer, position],
  );
  const info = opened.value;
  const name = info?.name ?? id;
  const choose = (at: number) => setParams({ at: String(at) });
  const result = run.value;
  const cap = info ? builtModel(info).model.head.softcap : null;
  return (
    <article class="model-run" aria-busy={run.busy} data-model={id}>
      <header>
        <h2>{name}</h2>
        {result && <p class="soft took">{t.run.took(Math.round(result.milliseconds))}</p>}
        {info && <p class="soft engine">{t.shell.engine(info.engine)}</p>}
        {info?.warnings.map((warning) => (
          <p key={warning} class="notice">
            {warning}
          </p>
        ))}
      </header>
      {(opened.error ?? run.error) && (
        <p class="error" role="alert">
          <strong>{t.shell.failed}.</strong> {opened.error ?? run.error}
        </p>
      )}
      {text === '' && <p class="notice">{t.run.needsText}</p>}
      {!info && !opened.error && <p class="soft">{t.shell.opening(name)}</p>}
      {info && result && text !== '' && (
        <>
          <Tokens
            run={result}
            onChoose={choose}
            onAppend={(token) => setParams({ text: text + token, at: null })}
          />
          <Candidates run={result} cap={cap} temperature={temperature} />
          <Attention
            run={result}
            head={head}
            side={side}
            onLayer={(value) => setParams({ layer: String(value) })}
            onHead={(value) => setParams({ head: String(value) })}
            onChoose={choose}
          />
          <Residual run={result} />
          <Lens run={result} onChoose={choose} />
        </>
      )}
    </article>
  );
}
