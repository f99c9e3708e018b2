package need

import (
	"os"
	"os/exec"
	"syscall"
)

const ownMounts = "SANDBOX_INSTALL_OWN_MOUNTS"

// OwnMounts starts root's tests again in a mount namespace of their own. In that of
// the machine another process might clone it while an image is mounted, and so keep
// the image mounted when we think it is not.
func OwnMounts() {
	if os.Geteuid() != 0 || os.Getenv(ownMounts) != "" {
		return
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		panic(err)
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	args := append([]string{"unshare", "--mount", "--propagation", "private", self}, os.Args[1:]...)
	panic(syscall.Exec(unshare, args, append(os.Environ(), ownMounts+"=1")))
}
