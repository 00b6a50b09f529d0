import { useApp } from '../app/context.ts';

/** What the reader can do where no trained model is at hand. */
export function NoModels() {
  const { t } = useApp();
  return (
    <div class="empty">
      <p>
        <strong>{t.shell.noModels}</strong>
      </p>
      <p>{t.shell.noModelsHow}</p>
    </div>
  );
}
