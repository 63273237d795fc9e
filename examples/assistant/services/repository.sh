#!/bin/sh
# A repository for the git server to look at, made once: repository.sh DIR
set -eu
[ -d "$1/.git" ] && exit 0
mkdir -p "$1"
cd "$1"
git init -q -b main
printf '# Notes\n\nThe first line of many.\n' > NOTES.md
git add NOTES.md
git -c user.name=example -c user.email=example@localhost commit -q -m 'Begin'
