#!/bin/sh
# Builds programs that need no library: sh deploy/static.sh ARCHITECTURE PACKAGE…
#
# ARCHITECTURE is amd64 or arm64, PACKAGE a crate of this workspace: watchpost, exporter, receiver, blackbox. They lie in
# target/MACHINE-unknown-linux-musl/release then, and are copied to the folder OUTPUT if it is set. Compiles on any machine
# for any of the two: the target brings its C library, clang knows both. Needs rustup and clang.
set -eu
[ $# -ge 2 ] || { sed -n 2,6p "$0" >&2; exit 2; }
case "$1" in
  amd64) machine=x86_64 ;;
  arm64) machine=aarch64 ;;
  *) echo "no static programs for $1: amd64 or arm64, or build from source" >&2; exit 1 ;;
esac
shift
target=$machine-unknown-linux-musl
rustup target add "$target"
variable=$(echo "$target" | tr - _)
upper=$(echo "$variable" | tr '[:lower:]' '[:upper:]')
export "CC_$variable=clang" "AR_$variable=ar" "CARGO_TARGET_${upper}_LINKER=rust-lld"
for package in "$@"; do set -- "$@" --package "$package"; shift; done
cargo build --release --locked --bins --target "$target" "$@"
if [ -n "${OUTPUT:-}" ]; then
  mkdir -p "$OUTPUT"
  find "target/$target/release" -maxdepth 1 -type f -perm -u+x -name 'watchpost*' -exec cp {} "$OUTPUT" \;
fi
