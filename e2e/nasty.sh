#!/bin/sh
# nasty.sh BINARY [CASE...]: runs the nasty cases, small installs that capture
# tools get wrong, on sandbox-install, and prints what each got wrong and how
# many are right. METHOD in the environment names the capture method; with AS_USER an
# ordinary user of that name captures what root has prepared. The cases are kept beside this repository; each run gets a Debian root of its own.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
corpus=${SANDBOX_INSTALL_SHARED:-$here/../../shared}/corpus/nasty
cache=${SANDBOX_INSTALL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sandbox-install}
binary=${1:?BINARY}
shift
packages=acl,attr,e2fsprogs,libcap2-bin,sudo,gcc,libc6-dev,make,git,python3,sqlite3,rsync,install-info,shared-mime-info,procps,patch,perl,strace,psmisc,file,texinfo,cpio,xz-utils,libseccomp2,fuse3,uidmap

image=$cache/nasty-root
if ! [ -d "$image" ]; then
	"$here/../scripts/private-apt" indextargets >/dev/null
	rm -rf "$image.unfinished"
	mmdebstrap --quiet --mode=root --variant=minbase --aptopt="Acquire::Retries 5" --include="$packages" \
		"$(. /etc/os-release && echo "$VERSION_CODENAME")" "$image.unfinished" "$cache/apt/sources.list"
	chroot "$image.unfinished" ldconfig # mmdebstrap removed its cache of inodes, which real systems have
	mv "$image.unfinished" "$image"
fi

work=$(mktemp -d "$cache/nasty-run.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cp -a "$image" "$work/root"
cp -r "$corpus" "$work/nasty"
chmod -R u+w "$work/nasty"
{ echo "method=${METHOD:-auto} user=${AS_USER:-}"; cat "$here/ours.sh"; } >"$work/nasty/adapters/ours.sh"

bin=$work/root/usr/local/bin
cp "$binary" "$bin/sandbox-install"
[ -z "${AS_USER:-}" ] || chroot "$work/root" useradd --create-home "$AS_USER" # with subordinate ids
cc -O1 -o "$bin/nc" "$corpus/helpers/nc.c"
cc -O1 -static -o "$bin/nc-static" "$corpus/helpers/nc.c"
cc -m32 -O1 -nostdlib -static -fno-pie -no-pie -fno-stack-protector -o "$bin/i386" "$corpus/helpers/i386.c"
for p in gowrite snap score; do
	CGO_ENABLED=0 go build -o "$bin/$p" "$corpus/helpers/$p.go"
done

"$corpus/enter" "$work/root" "$work/nasty" sh /nasty/nasty.sh ours "$@" | tee "$work/results"
right=$(grep -c '^[^ ]* OK$' "$work/results") || true
echo "$right passed, $(($(wc -l <"$work/results") - right)) failed"
[ "$right" -eq "$(wc -l <"$work/results")" ]
