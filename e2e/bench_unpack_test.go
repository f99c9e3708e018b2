package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benchPackage is one tree as a package of ours, as a tarball and as a Debian one.
type benchPackage struct{ ours, tar, deb string }

// makeBenchPackage makes files of sizes as in /usr, about 13 KiB in the mean.
func makeBenchPackage(b *testing.B, base string, files int, version string) benchPackage {
	b.Helper()
	dir := b.TempDir()
	tree := mkdir(b, dir, "tree/opt/files")
	output(b, tree, "python3", "-c", fmt.Sprintf(`
import os, random
r = random.Random(%q)
for n in range(%d):
    if n %% 50 == 0:
        d = "%%d" %% (n // 50); os.mkdir(d)
    with open(d + "/%%d" %% n, "wb") as f:
        f.write(r.randbytes(min(int(r.paretovariate(0.9) * 1500), 400000)))
`, version, files))
	mkdir(b, dir, "tree/DEBIAN")
	output(b, dir, "sh", "-c", fmt.Sprintf(`printf 'Package: files\nVersion: %s\nArchitecture: all\nMaintainer: nobody <x@y>\nDescription: files\n' >tree/DEBIAN/control`, version))
	p := benchPackage{
		ours: filepath.Join(dir, "thing-1.tar"), tar: filepath.Join(dir, "files.tar"), deb: filepath.Join(dir, "files.deb"),
	}
	output(b, dir, "dpkg-deb", "-Znone", "--build", "tree", "files.deb")
	output(b, tree, "tar", "-C", "../..", "-cf", p.tar, "opt")
	source := mkdir(b, base, "usr/src")
	output(b, base, "cp", "-a", tree, filepath.Join(source, "files"))
	loud(b, sandboxed("cp -a /usr/src/files /opt/files", "--root", base, "-o", dir, "--compress=none"))
	removeAll(b, filepath.Join(source, "files"))
	return p
}

// BenchmarkUnpack compares unpacking and replacing the same files with tar, which
// promises nothing, and with dpkg. Each side waits until all is on the disk.
func BenchmarkUnpack(b *testing.B) {
	require(b, "root", "overlay", "debian", "judges")
	for _, files := range []int{4000, 100000} {
		b.Run(fmt.Sprint(files), func(b *testing.B) {
			if files > 10000 && !*all {
				b.Skip("only with -args -all")
			}
			base := newRoot(b, installers[0])
			one, two := makeBenchPackage(b, base, files, "1"), makeBenchPackage(b, base, files, "2")
			commands := map[string]func(root string, p benchPackage) *exec.Cmd{
				"ours": func(root string, p benchPackage) *exec.Cmd { return ours(root, "unpack", p.ours) },
				"tar": func(root string, p benchPackage) *exec.Cmd {
					return exec.Command("sh", "-c", `tar -C "$1" -xpf "$2" && sync -f "$1"`, "sh", root, p.tar)
				},
				"dpkg": func(root string, p benchPackage) *exec.Cmd {
					return exec.Command("sh", "-c", `dpkg --root="$1" --log=/dev/null -i "$2" && sync -f "$1"`, "sh", root, p.deb)
				},
			}
			wall, cpu := make(map[string][]time.Duration), make(map[string][]time.Duration)
			for b.Loop() {
				for range 3 {
					for _, name := range []string{"tar", "ours", "dpkg"} {
						root := b.TempDir()
						output(b, root, "sh", "-c", "mkdir -p var/lib/dpkg/updates var/lib/dpkg/info; : >var/lib/dpkg/status")
						for i, p := range []benchPackage{one, two} {
							syscall.Sync()
							cmd := commands[name](root, p)
							took := timed(func() { loud(b, cmd) })
							key := name + []string{"-add", "-replace"}[i]
							wall[key] = append(wall[key], took)
							cpu[key] = append(cpu[key], cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
						}
						removeAll(b, root)
					}
				}
			}
			for key := range wall {
				_, verb, _ := strings.Cut(key, "-")
				b.ReportMetric(median(wall[key]).Seconds(), "s-"+key)
				b.ReportMetric(median(wall[key]).Seconds()/median(wall["tar-"+verb]).Seconds(), "x-tar-"+key)
				b.ReportMetric(median(cpu[key]).Seconds(), "cpu-s-"+key)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
