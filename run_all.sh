#!/usr/bin/env bash
# The whole workflow: faces, base training, pruning layer by layer, verification, report.
#   bash run_all.sh                                     synthetic faces, a small schedule, any laptop
#   FACES=<folder of person folders> PAIRS=<pairs.txt> bash run_all.sh      aligned real faces
#   SCALE=full GPU=0 …                                  the published schedule
#   CAFFE_ROOT=/path/to/caffe …                         a genuine Caffe build instead of the project's own
set -euo pipefail
cd "$(dirname "$0")"
SCALE=${SCALE:-small}
[ -z "${VERBOSE:-}" ] && export GLOG_minloglevel=${GLOG_minloglevel:-2}

python=$(bash tools/make_env.sh)
run() { "$python" "$@"; }

if [ -n "${FACES:-}" ]; then
  : "${PAIRS:?PAIRS=<pairs.txt> is missing: the list of pairs to verify on}"
  faces=${DATA:-data/real}
  run preprocess/prepare_faces.py "$FACES" --pairs "$PAIRS" --out "$faces" ${CROP:+--crop "$CROP"}
else
  faces=${DATA:-data/faces}
  run preprocess/make_faces.py --out "$faces"
fi
out=${OUT:-work/sphereface-4${FACES:+-real}}
run python/prune_pipeline.py --settings "python/settings/sphereface-prune.$SCALE.json" --faces "$faces" --out "$out" \
  ${GPU:+--gpu "$GPU"} "$@"
