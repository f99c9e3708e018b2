package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// needs says how to find out whether this machine has what a test asks for.
var needs = map[string]func() error{
	"root": func() error {
		if os.Geteuid() != 0 {
			return fmt.Errorf("not root")
		}
		return nil
	},
	"overlay": func() error { // the judge is the kernel's own list
		known, err := os.ReadFile("/proc/filesystems")
		if err == nil && !strings.Contains(string(known), "\toverlay\n") {
			err = exec.Command("modprobe", "overlay").Run()
		}
		return err
	},
	"debian": func() error { return haveTools("apt-get", "mmdebstrap", "dpkg-source", "chroot") },
	"corpus": func() error { // an extra for those who have it
		_, err := os.Stat(corpus())
		return err
	},
	"tracers": func() error { return haveTools("strace", "proot", "porg", "gcc") },
	"judges":  func() error { return haveTools("find", "b3sum", "getfattr", "lsattr", "tar", "zstd") },
}

func haveTools(names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return err
		}
	}
	return nil
}

// require ends the test when the machine lacks something.
func require(t testing.TB, words ...string) {
	t.Helper()
	for _, word := range words {
		if err := needs[word](); err != nil {
			need.Lacks(t, word, err)
		}
	}
}
