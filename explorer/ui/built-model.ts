import { type BuiltModel, modelFromConfig } from '../../src/families/registry.ts';
import type { ModelInfo } from '../worker/protocol.ts';

const known = new Map<string, BuiltModel>();

/** The model of an opened one's configuration, without weights: what describes itself in tables and diagrams. */
export function builtModel({ id, name, config }: ModelInfo): BuiltModel {
  const built = known.get(id) ?? modelFromConfig(config, `${name}/config.json`);
  known.set(id, built);
  return built;
}
