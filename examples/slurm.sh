#!/bin/bash
# Fine-tunes on four nodes, one rank on each with all of its cores: sbatch examples/slurm.sh
#SBATCH --job-name=ropewalk
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@120

# Two minutes before the time is up, Slurm sends SIGTERM: all ranks stop after the same step, with a checkpoint. Submit the script
# again to continue.
set -euo pipefail
out=/shared/runs/chat
resume=()
[ -e "$out/run.json" ] && resume=(--resume)

# pmix where Slurm was built with it; pmi2 otherwise (srun --mpi=list).
srun --mpi=pmix --cpu-bind=none npx ropewalk finetune /shared/model --data /shared/chats.jsonl --out "$out" \
  --batch 8 --accumulate 4 --threads "$SLURM_CPUS_PER_TASK" "${resume[@]}"
