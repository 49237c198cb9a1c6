#!/bin/sh
# Installs the versions of n8n that are its arguments, or those that package.json lists, into
# ~/.cache/jambonz-livekit-gateway (each about 4 minutes, 1.7 GB); leaves out what is installed
# already. Needs Node 20.19 or newer and npm, and a C++ compiler where sqlite3 has no prebuilt
# binary.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/jambonz-livekit-gateway"
listed=$(node -p 'require(process.argv[1]).versions.join(" ")' "$here/package.json") || {
  echo "n8n needs Node 20.19 or newer and npm: install them first" >&2
  exit 1
}

for version in ${*:-$listed}; do
  target="$cache/n8n-$version"
  if [ ! -e "$target/.installed" ]; then
    echo "installing n8n $version into $target (about 4 minutes) ..."
    mkdir -p "$target"
    cp "$here/package.json" "$target/package.json"
    cd "$target"
    npm install --silent --no-audit --no-fund --ignore-scripts "n8n@$version"
    npm rebuild --silent sqlite3
    touch .installed
  fi
  echo "n8n $version is installed in $target"
done
