#!/bin/sh
# A program computes with kernels that are as wide as the processor, or with those that the user names.
. tests/e2e/lib.sh

machine=$(od -An -tu2 -j18 -N2 "$client") # in the program's ELF header; 62: x86-64
[ "$machine" -eq 62 ] && grep -qw avx2 /proc/cpuinfo 2>/dev/null || exit 77 # nothing to choose from

# kernels COMMAND...: what the client says under the environment that COMMAND makes.
kernels() {
    "$@" "$client" inspect | sed -n 's/^  kernels  *//p'
}

chosen=$(kernels env -u OPENBLAS_CORETYPE)
case $chosen in
'' | generic | Prescott | Core2 | Penryn | Dunnington | Nehalem | Barcelona | Sandybridge)
    fail "on a processor with AVX2 the kernels are $chosen"
    ;;
esac
if grep -qw avx512vl /proc/cpuinfo; then
    case $chosen in
    Haswell | Zen) fail "on a processor with AVX-512 the kernels are $chosen" ;;
    esac
fi
for name in Prescott Haswell; do
    got=$(kernels env OPENBLAS_CORETYPE=$name)
    [ "$got" = $name ] || fail "the user chose $name, the kernels are $got"
done

# A program that executed itself again is the same process under the same name, with its arguments.
"$fixture" model "$tmp/model"
mkfifo "$tmp/texts"
unset OPENBLAS_CORETYPE # which tells the first execution from the second
# shellcheck disable=SC2016 # for the inner shell
start tokenize sh -c 'exec "$0" tokenize --model "$1" <"$2"' "$client" "$tmp/model" "$tmp/texts"
exec 3>"$tmp/texts"
await "the second execution" grep -q OPENBLAS_CORETYPE "/proc/$pid/environ"
await "a process called fedpet-client" grep -qx fedpet-client "/proc/$pid/comm"
echo "some words" >&3
exec 3>&-
ended "$pid" 0
grep -Eq '^\[[0-9, ]+\]$' "$tmp/tokenize.log" || fail "arguments were lost"
