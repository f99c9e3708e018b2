#!/bin/sh
# images.sh BINARY [DIR...]: has images.py judge how BINARY rebases the PE images
# below some directories; without one, those of the Debian packages named here, of
# which there are about 1,650: Wine's own of both widths, runtimes and libraries of
# MinGW, plugins of NSIS, launchers of Python, firmware, .NET. It takes about five
# minutes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${SANDBOX_INSTALL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sandbox-install}/images
binary=${1:?BINARY}
shift
packages="
	libwine nsis-common win32-loader gdb-mingw-w64-target
	gcc-mingw-w64-i686-posix-runtime gcc-mingw-w64-i686-win32-runtime mingw-w64-i686-dev
	gcc-mingw-w64-x86-64-posix-runtime gcc-mingw-w64-x86-64-win32-runtime mingw-w64-x86-64-dev
	libassuan-mingw-w64-dev libgcrypt-mingw-w64-dev libgpg-error-mingw-w64-dev libksba-mingw-w64-dev libnpth-mingw-w64-dev
	libz-mingw-w64 gpgv-win32 cpio-win32 gzip-win32 python3-distlib python3-setuptools-whl
	shim-unsigned shim-signed shim-helpers-amd64-signed grub-efi-amd64-signed systemd-boot-efi fwupd-amd64-signed
	refind syslinux-efi efitools ipxe memtest86+
	libmono-corlib4.5-dll libmono-corlib4.5-cil libmono-system4.0-cil libmono-system-core4.0-cil mono-mcs
"

mkdir -p "$cache"
for p in python3-pefile $packages; do
	[ ! -d "$cache/$p" ] || continue
	(cd "$cache" && "$here/../scripts/private-apt" -qq download "$p")
	dpkg-deb -x "$cache/$p"_*.deb "$cache/unfinished"
	find "$cache/unfinished" -name '*.whl' -exec python3 -m zipfile -e {} {}.files \;
	rm "$cache/$p"_*.deb
	mv "$cache/unfinished" "$cache/$p"
done
if [ $# = 0 ]; then
	set -- "$cache" /usr/local/lib/sandbox-install/wine32
fi
PYTHONPATH=$cache/python3-pefile/usr/lib/python3/dist-packages exec "$here/images.py" "$binary" "$@"
