#!/bin/sh
# unions.sh BINARY: times what an installation does, on the plain file system, under each
# union of sandbox-install, and under fuse-overlayfs if it is there, all in one run, and
# prints ratios to the plain one. As root. ROUNDS in the environment is how often; the
# least time counts.
#
# Each union shows the whole root, programs and libraries too, so fuse-overlayfs does as
# well: the rows are in a chroot of it. All are mounted anew for each round, so that the
# kernel has nothing of them in its caches; what is below them it has, as for the plain
# rows. Where fuse-overlayfs has no answer (it copies a directory that is renamed, file by
# file), the row says how long that takes.
set -eu
if [ "${1:-}" != --inside ]; then
	exec unshare --mount "$0" --inside "$(realpath "${1:?BINARY}")"
fi
here=$(cd "$(dirname "$0")" && pwd)
binary=$2
base=$(mktemp -d /var/tmp/unions.XXXXXX)
trap 'umount -R -l "$base/merged" 2>/dev/null || true; rm -rf --one-file-system "$base"' EXIT
trap 'exit 1' INT TERM
mkdir "$base/lower" "$base/upper" "$base/work" "$base/merged" "$base/staging"
# The root without what is mounted below it: fuse-overlayfs waits for itself if it meets
# itself. Nothing that is removed may lie above it.
mount --bind / /mnt
mount -o remount,bind,ro /mnt
chmod 755 "$base"
chmod 777 "$base/staging"

cat >"$base/lower/rows" <<'END'
# Prints a row each: name and nanoseconds.
row() {
	name=$1
	shift
	from=$(date +%s%N)
	"$@" >/dev/null
	echo "$name $(($(date +%s%N) - from))"
}
every() { find copy tree -type f -exec cat {} +; }
storm() { perl -e 'for (1 .. 20) { lstat for @ARGV }' $(find tree | head -n 5000); }
install() { make --silent -C hello install DESTDIR="$PWD/$1" 2>/dev/null; }
row install install installed
row again install again
row copy cp -r tree copy
row find find .
row read every
row stat storm
row chmod chmod -R go-w tree
row write dd if=/dev/zero of=big bs=1M count=512 status=none
row reread dd if=big bs=1M status=none
row rename mv tree wood
row remove rm -r copy wood big installed again
END
perl -e '
	chdir shift or die;
	mkdir "tree";
	for my $d (0 .. 99) {
		mkdir "tree/$d";
		for my $f (0 .. 99) { open F, ">", "tree/$d/$f" or die; print F "x" x (($d * 7 + $f * 131) % 9000) }
	}' "$base/lower"
cp -a "$("$here/../scripts/hello")" "$base/lower/hello"

measure() { # NAME COMMAND...: the rows that the command prints, told apart by the name
	name=$1
	shift
	"$@" 2>"$base/messages" | sed "s/^/$name /" >>"$base/rows" || { cat "$base/messages" >&2; exit 1; }
}
inside() { "$binary" run --method "$1" --staging "$base/staging" --exclude '/**' -o "$base" --chdir "$base/lower" -- sh rows; }
user() { "$here/../scripts/as-user" "$binary" run --method rootless --staging "$base/staging" --exclude '/**' -o /tmp --chdir "$base/lower" -- sh rows; }
plain() { cp -a "$base/lower" "$base/plain" && (cd "$base/plain" && sh rows) && rm -rf "$base/plain"; }
other() {
	fuse-overlayfs -o "lowerdir=/mnt,upperdir=$base/upper,workdir=$base/work" "$base/merged"
	for dir in proc dev sys; do mount --rbind "/$dir" "$base/merged/$dir" && mount --make-rslave "$base/merged/$dir"; done
	chroot "$base/merged" sh -c 'cd "$1" && sh rows' sh "$base/lower"
	umount -R "$base/merged"
	rm -rf "$base/upper" "$base/work"
	mkdir "$base/upper" "$base/work"
}
for _ in $(seq "${ROUNDS:-3}"); do
	measure plain plain
	measure overlay inside overlay
	measure rootless user
	measure fuse inside fuse
	if command -v fuse-overlayfs >/dev/null; then measure fuse-overlayfs other; fi
done
uptime
awk '
	NF == 3 && $3 ~ /^[0-9]+$/ {
		if (!($2 in seen)) { seen[$2] = 1; rows[++n] = $2 }
		if (!($1 in known)) { known[$1] = 1; names[++m] = $1 }
		if (!(($1, $2) in least) || $3 < least[$1, $2]) least[$1, $2] = $3
	}
	END {
		printf "%-8s %9s", "", "plain ms"
		for (j = 2; j <= m; j++) printf " %14s", names[j]
		print ""
		for (i = 1; i <= n; i++) {
			printf "%-8s %9.1f", rows[i], least["plain", rows[i]] / 1e6
			for (j = 2; j <= m; j++) printf " %13.2fx", least[names[j], rows[i]] / least["plain", rows[i]]
			print ""
		}
	}' "$base/rows"
