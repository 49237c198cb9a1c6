#!/bin/sh
# Installs the n8n that package.json names into ~/.cache/jambonz-livekit-gateway (about 4 minutes,
# 1.7 GB); does nothing if it is installed already. Needs Node 20 or newer and npm, and a C++
# compiler where sqlite3 has no prebuilt binary.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
version=$(node -p 'require(process.argv[1]).dependencies.n8n' "$here/package.json") || {
  echo "n8n needs Node 20 or newer and npm: install them first" >&2
  exit 1
}
target="${XDG_CACHE_HOME:-$HOME/.cache}/jambonz-livekit-gateway/n8n-$version"

if [ -e "$target/.installed" ]; then
  echo "n8n $version is installed in $target"
  exit 0
fi

echo "installing n8n $version into $target (about 4 minutes) ..."
mkdir -p "$target"
cp "$here/package.json" "$target/package.json"
cd "$target"
npm install --silent --no-audit --no-fund --ignore-scripts
npm rebuild --silent sqlite3
touch .installed
echo "n8n $version is installed in $target"
