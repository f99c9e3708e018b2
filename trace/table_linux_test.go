package trace

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// TestEveryCall compares the table with the kernel's own headers, and with those of
// the newer kernel that x/sys was made from: no call is left out, none has another
// number.
func TestEveryCall(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		need.Lacks(t, "go", err)
	}
	sys := filepath.Join(strings.TrimSpace(string(out)), "unix")
	kernel := regexp.MustCompile(`(?m)^#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$`)
	golang := regexp.MustCompile(`(?m)^\s+SYS_(\w+)\s+=\s+(\d+)$`)
	for _, source := range []struct {
		file    string
		pattern *regexp.Regexp
		arch    arch
	}{
		{"/usr/include/x86_64-linux-gnu/asm/unistd_64.h", kernel, archX86_64},
		{"/usr/include/x86_64-linux-gnu/asm/unistd_32.h", kernel, archI386},
		{"/usr/include/asm-generic/unistd.h", kernel, archARM64},
		{sys + "/zsysnum_linux_amd64.go", golang, archX86_64},
		{sys + "/zsysnum_linux_386.go", golang, archI386},
		{sys + "/zsysnum_linux_arm64.go", golang, archARM64},
	} {
		text, err := os.ReadFile(source.file)
		if err != nil {
			need.Lacks(t, "headers", err)
		}
		found := source.pattern.FindAllStringSubmatch(string(text), -1)
		if len(found) < 300 {
			t.Errorf("%s: only %d calls", source.file, len(found))
		}
		by := numbered(source.arch)
		for _, m := range found {
			name := strings.ToLower(m[1])
			n, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			only32 := source.arch == archARM64 && n >= 403 && n <= 423 && n != 415 // of the header, __BITS_PER_LONG == 32
			if name == "arch_specific_syscall" || name == "syscalls" || only32 {
				continue
			}
			if n >= len(by) || by[n] == nil {
				t.Errorf("%s: %s, %d, is not in the table", source.file, name, n)
			} else if got := by[n].name; got != name && !sameCall[[2]string{got, name}] {
				t.Errorf("%s: %d is %s, and %s in the table", source.file, n, name, got)
			}
		}
	}
}

// sameCall are calls that have two names.
var sameCall = map[[2]string]bool{
	{"fstatat", "newfstatat"}: true, {"newfstatat", "fstatat"}: true, {"umount2", "umount"}: true, {"sendfile", "sendfile64"}: true,
	{"statfs", "statfs64"}: true, {"fstatfs", "fstatfs64"}: true, {"truncate", "truncate64"}: true, {"ftruncate", "ftruncate64"}: true,
	{"lseek", "_llseek"}: true, {"lseek", "llseek"}: true, {"fcntl", "fcntl64"}: true, {"mmap", "mmap2"}: true, {"fadvise64", "fadvise64_64"}: true, {"sync_file_range", "sync_file_range2"}: true,
}

// TestVerbs: every word of the table means something, and every call that names a
// file says where.
func TestVerbs(t *testing.T) {
	operands := map[verb]int{
		verbPass: 0, verbOpen: 1, verbOpen2: 1, verbNew: 1, verbName: 1, verbRename: 2, verbLink: 2, verbMeta: 1, verbLmeta: 1,
		verbWrite: 1, verbBind: 1, verbIoctl: 1, verbExec: 1, verbChroot: 1,
	}
	for _, c := range calls {
		if _, refused := refusals[c.verb]; refused {
			continue
		}
		if n, ok := operands[c.verb]; !ok || n != len(c.operands) {
			t.Errorf("%s: verb %q with %d operands", c.name, c.verb, len(c.operands))
		}
	}
}
