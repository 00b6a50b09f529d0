import { useId, useState } from 'preact/hooks';
import { sizeName } from '../../../src/inspect/format.ts';
import { errorText, useApp } from '../../app/context.ts';
import { routeHash, viewParams } from '../../app/route.ts';
import { builtModel } from '../../ui/built-model.ts';
import type { ModelInfo } from '../../worker/protocol.ts';
import { filesOf } from './dropped.ts';

/** A model of the reader's own. */
export function OpenView() {
  const { t, models, ownModels, addModel } = useApp();
  const words = t.open;
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState<string>();
  const [over, setOver] = useState(false);
  const folderId = useId();
  const fileId = useId();
  const open = async (given: FileList | DataTransfer) => {
    setError(undefined);
    try {
      const files = await filesOf(given);
      if (files.length === 0) return setError(words.empty);
      setBusy(files[0]!.name.split('/')[0]!);
      addModel(await models.openGiven(files));
    } catch (reason) {
      setError(errorText(t, reason));
    } finally {
      setBusy(undefined);
    }
  };
  const picked = (event: Event) => {
    const input = event.currentTarget as HTMLInputElement;
    if (input.files && input.files.length > 0) void open(input.files);
    // The same files can be chosen again, once they have been put right.
    input.value = '';
  };
  return (
    <>
      <p class="lead">{words.lead}</p>
      <section
        class={over ? 'drop over' : 'drop'}
        aria-label={words.drop}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          if (event.dataTransfer) void open(event.dataTransfer);
        }}
      >
        <div class="row">
          <label class="button" for={folderId}>
            {words.folder}
            <input id={folderId} type="file" multiple {...{ webkitdirectory: true }} onChange={picked} />
          </label>
          <label class="button" for={fileId}>
            {words.file}
            <input id={fileId} type="file" multiple onChange={picked} />
          </label>
        </div>
        <p>{words.drop}</p>
        <p class="soft">{words.what}</p>
      </section>
      {busy && (
        <p class="soft" role="status">
          {t.shell.opening(busy)}
        </p>
      )}
      {error && (
        <p class="error" role="alert">
          <strong>{t.shell.failed}.</strong> {error}
        </p>
      )}
      <section class="card opened" aria-busy={busy !== undefined}>
        <h2>{words.opened}</h2>
        {ownModels.length === 0 ? (
          <p class="soft">{words.nothing}</p>
        ) : (
          <ul class="plain">
            {ownModels.map((info) => (
              <Opened key={info.id} info={info} />
            ))}
          </ul>
        )}
      </section>
    </>
  );
}

function Opened({ info }: { info: ModelInfo }) {
  const { t, route } = useApp();
  const words = t.open;
  const { family, model } = builtModel(info);
  const link = (params: Record<string, string>) => viewParams(route, params);
  return (
    <li>
      <h3>{info.name}</h3>
      <p class="soft">
        {family.title}, {words.parameters(sizeName(model.parameterCount()))}
      </p>
      <p class="soft">{t.shell.engine(info.engine)}</p>
      {info.warnings.map((warning) => (
        <p key={warning} class="notice">
          {warning}
        </p>
      ))}
      <p class="row">
        {info.hasTokenizer ? (
          <a href={routeHash('run', link({ model: info.id }))}>{words.run}</a>
        ) : (
          words.noTokenizer
        )}
        <a href={routeHash('compare', link({ models: `${family.name.split('+')[0]},${info.id}` }))}>
          {words.compare}
        </a>
      </p>
    </li>
  );
}
