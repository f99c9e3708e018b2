// Package e2e keeps the laws of sandbox-install on real installers, through the
// real binary, judged by outside tools: GNU find, tar, b3sum, getfattr and
// lsattr, never by our own readers.
//
// Its tests run in mount and pid namespaces of their own, so that a mount or a
// process that the binary leaves behind is seen at once and dies with the test.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

var all = flag.Bool("all", false, "run every installer, not only the quick ones")

var (
	binary  string // the program under test
	cache   string // the directory of what is slow to make: Debian roots, archives and build trees
	staging string // the temporary directory of every run
)

const inNamespaces = "SANDBOX_INSTALL_E2E_NAMESPACES"

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Geteuid() == 0 && os.Getenv(inNamespaces) == "" {
		fmt.Fprintln(os.Stderr, "e2e:", enterNamespaces())
		os.Exit(1)
	}
	os.Exit(run(m))
}

// enterNamespaces starts this program again; it returns only to say why not.
// The mounts are shared among the copies of the new namespace, but not with the
// machine: what the binary forgets to make private shows up here and not there.
func enterNamespaces() error {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{
		"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private",
		"sh", "-c", `mount --make-rshared / && "$@"; exit $?`, "sh", self,
	}
	return syscall.Exec(unshare, append(args, os.Args[1:]...), append(os.Environ(), inNamespaces+"=1"))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "e2e-binary-")
	if err == nil {
		err = prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	status := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return status
}

// prepare builds the program into dir. An ordinary user's tests are all skipped.
func prepare(dir string) (err error) {
	if cache, err = cacheDir(); err != nil || os.Geteuid() != 0 {
		return err
	}
	staging = filepath.Join(dir, "staging")
	if err := os.Mkdir(staging, 0o755); err != nil {
		return err
	}
	binary = filepath.Join(dir, "sandbox-install")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/sandbox-install").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// cacheDir is the directory that scripts/private-apt uses, too.
func cacheDir() (string, error) {
	if dir := os.Getenv("SANDBOX_INSTALL_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "sandbox-install"), err
}
