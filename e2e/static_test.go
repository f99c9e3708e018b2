package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// TestStatic has an ordinary user do all that is portable with the binary that is built
// without C: capture by hashdiff, list, tarball, addresses of DLLs, unpack, remove.
func TestStatic(t *testing.T) {
	require(t, "root", "judges")
	compiler := need.Program(t, "wine", "x86_64-w64-mingw32-gcc")
	dir := t.TempDir()
	static := filepath.Join(dir, "sandbox-install")
	build := exec.Command("go", "build", "-o", static, "../cmd/sandbox-install")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	loud(t, build)
	output(t, dir, "sh", "-euc", `echo "int f(void) { return 1; }" >f.c; $0 -shared -o f.dll f.c; mkdir home root; chmod 755 . .. f.dll; chown -R 65534:65534 home root`, compiler)
	home := filepath.Join(dir, "home")
	user := func(script string) {
		t.Helper()
		cmd := exec.Command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-euc", script, static, dir)
		cmd.Dir = home
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
		loud(t, cmd)
	}
	user(`mkdir -p .local/bin ../root$1/home/.local/bin; echo old >.local/bin/old; cp -p .local/bin/old ../root$1/home/.local/bin
		touch -d 2001-01-01 .local .local/bin`)
	before := takePicture(t, home).elsewhere()
	user(`mkdir ../root/out
		$0 run --method hashdiff --scope "$1/home" --roll-back --staging ../root --prefix "$1/home/.local" --include '/**' --name p --version 1 -o ../root/out -- \
		sh -euc 'install -m 750 /bin/true .local/bin/tool; ln .local/bin/tool .local/bin/again; ln -s tool .local/bin/link; install "$1/f.dll" .local/bin; rm .local/bin/old; cp -r /usr/share/zoneinfo/Etc .local' sh "$1"`)
	samePicture(t, "a home not rolled back", before, takePicture(t, home).elsewhere())
	user(`cd ../root/out; test "$($0 plist convert --from pkgsrc --to openbsd p-1.plist | grep -c ^bin/)" = 4
		tar -tvf p-1.tar.zst | grep -q "^hrwxr-x---.*bin/tool link to .*bin/again"
		$0 unpack --root .. p-1.tar.zst; cmp /bin/true ..$1/home/.local/bin/again; diff -r /usr/share/zoneinfo/Etc ..$1/home/.local/Etc; test ! -e ..$1/home/.local/bin/old
		cp "$1/f.dll" one.dll; cp one.dll two.dll; $0 rebase apply --root / --db bases one.dll two.dll
		objdump -p one.dll two.dll | awk '$1 == "ImageBase" { print $2 }' | sort -u | wc -l | grep -qx 2
		$0 remove --root .. p; test "$(find ..$1 -type f)" = ..$1/home/.local/bin/old`)
}
