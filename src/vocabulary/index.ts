/** The token costs of texts. */
export {
  type TextSize,
  type TokenCosts,
  type TokenCostsOptions,
  textSize,
  tokenCosts,
  type WordCost,
} from './costs.ts';
