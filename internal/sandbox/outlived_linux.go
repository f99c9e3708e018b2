package sandbox

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// These bound what a report can grow to.
const (
	maxOutlived    = 200
	maxCommandLine = 200
)

// running names the processes in proc, an open /proc, but for init itself and
// those that have ended and only wait for their parents. What ends meanwhile is
// not named.
func running(proc *os.Root) []Process {
	dirs, err := fs.ReadDir(proc.FS(), ".")
	if err != nil {
		return nil
	}
	var found []Process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(dir.Name())
		if err != nil || pid == os.Getpid() || len(found) == maxOutlived {
			continue
		}
		if command := commandLine(proc, dir.Name()); command != "" {
			found = append(found, Process{pid, command})
		}
	}
	return found
}

// commandLine returns a process's arguments; its name if it has hidden them; ""
// if it has ended (proc_pid_stat(5)).
func commandLine(proc *os.Root, pid string) string {
	stat, err := proc.ReadFile(pid + "/stat")
	if err != nil {
		return ""
	}
	name, state := string(stat), ""
	if i := strings.LastIndexByte(name, ')'); i >= 0 {
		name, state = name[:i], strings.TrimSpace(name[i+1:])
	}
	if state == "" || strings.ContainsRune("ZXx", rune(state[0])) {
		return ""
	}
	args, err := proc.ReadFile(pid + "/cmdline")
	if err != nil || len(args) == 0 {
		_, comm, _ := strings.Cut(name, "(")
		return "[" + comm + "]"
	}
	line := strings.TrimSpace(strings.ReplaceAll(string(args), "\x00", " "))
	return line[:min(len(line), maxCommandLine)]
}
