#!/usr/bin/env bash
# Reproduces a source from faces to its tables. Stop it at any moment; the same command goes on where it stopped.
#
#   bash run_all.sh                     train SphereFace-4, prune it layer by layer, verify, report (the default)
#   bash run_all.sh sphereface-prune    Sphereface-Prune: nets 4, 10, 20 at rates 0.75 and 0.5
#   bash run_all.sh sphereface-plus     SphereFace+: margins 1 to 4, RUNS=10 times each
#   bash run_all.sh entropy             entropy-based filter selection: WebFace and VGG-16
#   bash run_all.sh flame               the 1.13 MB model: modules, distillation, quantization
#
# FACES=<folder of person folders> PAIRS=<pairs.txt>   real aligned faces instead of synthetic ones
#   (flame: FACES=<folder of pictures> LISTS=<folder of preprocess/list_celeba.py>)
# SCALE=full GPU=0      the published schedules          CAFFE_ROOT=<build>   a genuine Caffe in place of ours
# CROP=left             of pictures wider than 96 the left columns, not the middle
# OUT, DATA             where results and prepared faces go (work/<name>, data/…)
# VERBOSE=1             what the engine logs as well      PYTHON=python3.12   what to make the environment from
#
# Options behind the name go to its command (python/prune_pipeline.py, python/sphereface_prune.py, …), such as
# --nets 4 --rates 0.5; its --help lists them.
set -euo pipefail
cd "$(dirname "$0")"
name=sphereface-4
case ${1:-} in sphereface-prune | sphereface-plus | entropy | flame) name=$1; shift ;; esac
case ${1:-} in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit ;;
  '' | -*) ;;
  *) echo "error: '$1' is no source; expected sphereface-prune, sphereface-plus, entropy, flame or nothing" >&2; exit 1 ;;
esac
SCALE=${SCALE:-small}
[ -n "${GPU+set}" ] || ! nvidia-smi -L >/dev/null 2>&1 || GPU=0
[ -z "${VERBOSE:-}" ] && export GLOG_minloglevel=${GLOG_minloglevel:-2}

python=$(bash tools/make_env.sh)

command=${name//-/_} inputs=()
[ "$name" = sphereface-4 ] && command=prune_pipeline
if [ "$name" = flame ]; then # makes faces of its own, 120 pixels wide, where it is given none
  [ -n "${FACES:-}" ] && inputs=(--pictures "$FACES" --lists "${LISTS:?is missing: LISTS=<folder with train.txt>}")
elif [ -n "${FACES:-}" ]; then
  : "${PAIRS:?is missing: PAIRS=<pairs.txt>, the list of pairs to verify on}"
  inputs=(--faces "${DATA:-data/real}")
  "$python" preprocess/prepare_faces.py "$FACES" --pairs "$PAIRS" --out "${inputs[1]}" ${CROP:+--crop "$CROP"}
else
  inputs=(--faces "${DATA:-data/faces}")
  "$python" preprocess/make_faces.py --out "${inputs[1]}"
fi
exec "$python" "python/$command.py" --settings "python/settings/$name.$SCALE.json" "${inputs[@]}" \
  --out "${OUT:-work/$name${FACES:+-real}}" ${RUNS:+--runs "$RUNS"} ${GPU:+--gpu "$GPU"} "$@"
