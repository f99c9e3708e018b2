# The adapter that lets the nasty cases judge sandbox-install: see nasty.sh.
# The judge's picture of the tree as the installer saw it goes out by descriptor
# 9; we hand it on as standard input, since only 0, 1 and 2 reach the command.
. "$here/adapters/_lib.sh"
redirects=1

capture() {
	sandbox-install run --keep-failed --name nasty --version 1 -o "$W" -- \
		sh -c 'exec "$@" 9>&0 </dev/null' sh "$@" <&9
}

collect() {
	sandbox-install plist print --changes --all -0 "$W/nasty-1.tar.zst" | keep
}
