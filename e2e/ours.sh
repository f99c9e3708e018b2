# The adapter that lets the nasty cases judge sandbox-install: see nasty.sh.
# The judge's picture of the tree as the installer saw it goes out by descriptor
# 9; we hand it on as standard input, since only 0, 1 and 2 reach the command.
. "$here/adapters/_lib.sh"
redirects=1 fuse=/var/lib/fuse # which users may open, as on a machine with udev

capture() {
	set -- -- sh -c 'exec "$@" 9>&0 </dev/null' sh "$@"
	if [ "$method" = hashdiff ]; then # keeps a copy of what it watches: only of what is judged
		for dir in "$R" $watch; do set -- --scope "$dir" "$@"; done
		set -- --roll-back "$@"
	fi
	set -- sandbox-install run --method "$method" --keep-failed --name nasty --version 1 -o "$W" "$@"
	if [ -n "$user" ]; then
		chmod 777 "$W"
		[ -c "$fuse" ] || { mknod -m 666 "$fuse" c 10 229; mount --bind "$fuse" /dev/fuse; }
		set -- setpriv --reuid "$user" --regid "$user" --init-groups --inh-caps=-all env HOME="/home/$user" "$@"
	fi
	"$@" <&9
}

collect() {
	sandbox-install plist print --changes --all -0 "$W/nasty-1.tar.zst" | keep
}
