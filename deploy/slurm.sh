#!/bin/bash
# An evaluation over a Slurm array: each task measures its part of the pictures, all into one folder that all see.
#
#   sbatch --array=0-7 deploy/slurm.sh --data photos --methods tv,psld --out results
#   psld eval merge --out results            # when all tasks are done: the tables
#
# The arguments are those of psld eval. A task whose psld is killed starts it again, up to three times; a task that runs
# out of time, or whose node fails, goes on with its finished cells when it is queued again: by Slurm, or by the same
# command. Nodes with different processors give different last bits: PSLD_KERNELS=avx2 makes them the same.
#SBATCH --job-name=psld-eval
#SBATCH --array=0-7
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=8:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
for try in 1 2 3; do
  srun "${PSLD:-psld}" eval --shard auto --threads "${SLURM_CPUS_PER_TASK:-0}" "$@" && exit
  code=$?
  ((code == 137)) || exit "$code" # 128 + SIGKILL
  echo "task ${SLURM_ARRAY_TASK_ID:-} was killed (try $try)"
done
exit "$code"
