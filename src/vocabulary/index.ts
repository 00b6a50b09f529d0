/** What texts cost in tokens. */
export {
  type TextSize,
  type TokenCosts,
  type TokenCostsOptions,
  textSize,
  tokenCosts,
  type WordCost,
} from './costs.ts';
