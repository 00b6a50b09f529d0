import type { RawConfig } from '../config.ts';

/** Model types that people try, with what prevents Ropewalk from running them. */
const GENERATIONS: Readonly<Record<string, string>> = {
  gemma3n_text: 'Gemma 3n',
  gemma4_text: 'Gemma 4',
  ministral: 'Ministral',
  qwen3_next: 'Qwen 3 Next',
  qwen3_5_text: 'Qwen 3.5',
  phi: 'Phi',
  phi3: 'Phi 3 or 4',
  exaone: 'EXAONE 3',
  smollm3: 'SmolLM 3',
  olmo2: 'OLMo 2',
  olmo3: 'OLMo 3',
  granite: 'Granite',
  glm4: 'GLM 4',
  cohere2: 'Command R7B',
  falcon: 'Falcon',
  gpt_neox: 'GPT-NeoX',
  gpt_neo: 'GPT-Neo',
  gptj: 'GPT-J',
  bloom: 'BLOOM',
  opt: 'OPT',
  mpt: 'MPT',
  stablelm: 'StableLM',
  mamba: 'Mamba',
  mamba2: 'Mamba 2',
};
const EXPERTS: Readonly<Record<string, string>> = {
  mixtral: 'Mixtral',
  qwen2_moe: 'Qwen 2 MoE',
  qwen3_moe: 'Qwen 3 MoE',
  qwen3_5_moe_text: 'Qwen 3.5 MoE',
  deepseek_v2: 'DeepSeek V2',
  deepseek_v3: 'DeepSeek V3 or R1',
  gpt_oss: 'gpt-oss',
  olmoe: 'OLMoE',
  granitemoe: 'Granite MoE',
  llama4_text: 'Llama 4',
  phimoe: 'Phi 3.5 MoE',
  glm4_moe: 'GLM 4.5',
};
const MULTIMODAL: Readonly<Record<string, string>> = {
  gemma3n: 'Gemma 3n',
  gemma4: 'Gemma 4',
  paligemma: 'PaliGemma',
  llama4: 'Llama 4',
  mllama: 'Llama 3.2 Vision',
  llava: 'LLaVA',
  llava_next: 'LLaVA-NeXT',
  qwen2_vl: 'Qwen 2 VL',
  qwen2_5_vl: 'Qwen 2.5 VL',
  qwen3_vl: 'Qwen 3 VL',
  qwen3_5: 'Qwen 3.5',
  qwen3_5_moe: 'Qwen 3.5 MoE',
  mistral3: 'Mistral Small 3 with vision',
  idefics3: 'Idefics 3',
  smolvlm: 'SmolVLM',
  phi4_multimodal: 'Phi 4 multimodal',
  internvl: 'InternVL',
};

/** Fields whose value above 1 means a mixture of experts. */
const EXPERT_FIELDS = ['num_local_experts', 'num_experts', 'n_routed_experts', 'num_experts_per_tok'];

const known = (table: Readonly<Record<string, string>>, type: string) =>
  Object.hasOwn(table, type) ? table[type] : undefined;

/**
 * The kind of an unsupported model, to follow "is"; undefined for one that may be supported.
 *
 * @param type its model_type.
 */
export function unsupportedKind(raw: RawConfig, type: string): string | undefined {
  const multimodal = known(MULTIMODAL, type);
  if (multimodal) return `${multimodal}, a multimodal model`;
  const experts = known(EXPERTS, type);
  if (experts) return `${experts}, a mixture of experts`;
  const generation = known(GENERATIONS, type);
  if (generation) return `${generation}, another family`;
  if (EXPERT_FIELDS.some((field) => typeof raw[field] === 'number' && raw[field] > 1))
    return 'a mixture of experts';
  if (['vision_config', 'audio_config', 'text_config'].some((field) => raw[field] != null))
    return 'a multimodal model';
  return undefined;
}
