package hashdiff

import (
	"os"
	"os/exec"
	"syscall"
)

// passed is what a console sends; the command gets it from there as well.
var passed = []os.Signal{}

// gentle ends a command: there is no other way.
var gentle = os.Kill

func canChroot() bool { return false }

func attributes(string) *syscall.SysProcAttr { return nil }

// candidates is the path of a program, found with this process's own PATH and
// PATHEXT.
func candidates(name string, _ []string) []string {
	file, err := exec.LookPath(name)
	if err != nil {
		return nil
	}
	return []string{file}
}

func exitCode(state *os.ProcessState) int { return state.ExitCode() }
