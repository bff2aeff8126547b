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
# SCALE=faces TEACHER=<deploy>,<weights>[,rgb]         full width on those faces, from what a face model says of them
# SCALE=full GPU=0      the published schedules          CAFFE_ROOT=<build>   a genuine Caffe in place of ours
# CROP=left             of pictures wider than 96 the left columns, not the middle
# OUT, DATA             where results and prepared faces go (work/<name>, data/…)
# VERBOSE=1             what the engine logs as well      PYTHON=python3.12   what to make the environment from
#
# Options behind the name go to its command (python/prune_pipeline.py, python/sphereface_prune.py, …), such as
# --nets 4 --rates 0.5; its --help lists them.
set -euo pipefail
cd "$(dirname "$0")"
wrong() { echo "error: $1; expected $2" >&2; exit 1; }
fits() { [[ ${!1:-} =~ ^($2)?$ ]] || wrong "$1=${!1}" "$3"; } # a variable, what it may be, the same in words
name=sphereface-4
case ${1:-} in sphereface-prune | sphereface-plus | entropy | flame) name=$1; shift ;; esac
case " $* " in
  *' -h '* | *' --help '*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit ;;
  '  ' | ' -'*) ;;
  *) wrong "'$1' is no source" 'sphereface-prune, sphereface-plus, entropy, flame or nothing' ;;
esac
[ -f "python/settings/$name.${SCALE:=small}.json" ] || wrong "SCALE=$SCALE" 'small, faces or full'
fits CROP 'centre|left' 'centre or left'
fits GPU 'all|[0-9]+(,[0-9]+)*' 'a number, several with commas, or all'
fits RUNS '0*[1-9][0-9]*' 'a whole number of at least 1'
[ "$name" = sphereface-plus ] || [ -z "${RUNS:-}" ] || wrong "RUNS with $name" 'it with sphereface-plus alone'
[ -n "${FACES:-}" ] || [ -z "${PAIRS:-}${LISTS:-}" ] || wrong 'PAIRS or LISTS without FACES' 'FACES=<folder>'
[ -n "${FACES:-}" ] || [ -z "${TEACHER:-}" ] || wrong 'TEACHER without FACES' 'FACES=<folder>'
[ -n "${FACES:-}" ] || [ "$SCALE" != faces ] || wrong 'SCALE=faces without FACES' 'FACES=<folder>, see docs/real-faces.md'
[ -d "${FACES:-.}" ] || wrong "FACES=$FACES: not there" 'a folder of pictures'
[ -d "${CAFFE_ROOT:-python}" ] || wrong "CAFFE_ROOT=$CAFFE_ROOT: not there" 'the root of a built Caffe with pycaffe'
if [ -n "${FACES:-}" ] && [ "$name" = flame ]; then
  [ -f "${LISTS:-}/train.txt" ] || wrong "LISTS=${LISTS:-}: no train.txt in it" 'a folder of preprocess/list_celeba.py'
elif [ -n "${FACES:-}" ]; then
  [ -f "${PAIRS:-}" ] || wrong "PAIRS=${PAIRS:-}: not there" 'pairs.txt, the list of pairs to verify on'
fi
teacher=()
if [ -n "${TEACHER:-}" ]; then
  IFS=, read -r deploy weights form <<<"$TEACHER"
  [ -f "$deploy" ] && [ -f "$weights" ] && [[ $form =~ ^(rgb)?$ ]] ||
    wrong "TEACHER=$TEACHER" 'deploy.prototxt,net.caffemodel of a face model, and ,rgb behind them where it takes RGB'
  teacher=(--teacher "$deploy" "$weights" ${form:+--rgb})
fi
[ -z "${VERBOSE:-}" ] || export GLOG_minloglevel=0

python=$(bash tools/make_env.sh)

if [ -n "${CAFFE_ROOT:-}" ]; then # what it lacks is told before anything is made
  "$python" -c 'from sphereslim.commands.ending import run_command; from sphereslim.engine import caffe
run_command(lambda: caffe.TEST and None)'
fi

sees() { [ -n "${CAFFE_ROOT:-}" ] || "$python" -m caffe device_query -gpu "$1" >/dev/null; }
if [ -n "${GPU:-}" ]; then
  sees "$GPU" || exit 1
elif [ -z "${GPU+set}" ] && nvidia-smi -L >/dev/null 2>&1 && sees 0 2>/dev/null; then # PyTorch may be its CPU build
  GPU=0
fi

command=python/${name//-/_}.py
[ "$name" = sphereface-4 ] && command=python/prune_pipeline.py
faces=data/faces make=(preprocess/make_faces.py) kind=${FACES:+-real}
if [ "$name" != sphereface-4 ]; then
  faces=data/study-faces make+=(--test-people 50 --per-fold 30) # the same people to train on, and 600 pairs
fi
if [ -n "${FACES:-}" ]; then
  faces=data/real make=(preprocess/prepare_faces.py "$FACES" --pairs "${PAIRS:-}" ${CROP:+--crop "$CROP"} "${teacher[@]}")
fi
if [ "$SCALE" = faces ]; then
  faces=data/real-faces kind=-faces make+=(--border 4) # pixels, for cuts at random places
  [ -z "${TEACHER:-}" ] || make+=(--blends 2)           # of each picture with others, for the teacher to see
fi
inputs=(--faces "${DATA:-$faces}")
[ "$name" = flame ] && inputs=(${FACES:+--pictures "$FACES" --lists "$LISTS"}) # makes faces of its own, 120 pixels wide
words=("$command" --settings "python/settings/$name.$SCALE.json" "${inputs[@]}"
  --out "${OUT:-work/$name$kind}" ${RUNS:+--runs "$RUNS"} ${GPU:+--gpu "$GPU"} "$@")
if [ "$name" != flame ]; then
  # a wrong option ends it before the faces are made
  [ $# = 0 ] || "$python" -c 'import sys; from sphereslim.commands.program import check; check(*sys.argv[1:])' "${words[@]}"
  "$python" "${make[@]}" --out "${inputs[1]}"
fi
exec "$python" "${words[@]}"
