//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package hashdiff

import (
	"os"
	"path"
	"strings"
	"syscall"
)

// passed are the signals that are meant for the command when we get them.
var passed = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// gentle asks a command to end.
var gentle = syscall.SIGTERM

func canChroot() bool { return os.Geteuid() == 0 }

// candidates are the paths that a program may have.
func candidates(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	search := "/usr/local/bin:/usr/bin:/bin"
	for _, kv := range env { // the last one counts, as in os/exec
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			search = v
		}
	}
	var names []string
	for dir := range strings.SplitSeq(search, ":") {
		switch {
		case name == "":
		case dir == "": // POSIX: a zero-length prefix is the current directory
			names = append(names, "./"+name)
		default:
			names = append(names, path.Join(dir, name))
		}
	}
	return names
}

func exitCode(state *os.ProcessState) int {
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// remove removes a name; a directory must be empty.
func (r *restorer) remove(path string) error { return r.root.Remove(host(path)) }
