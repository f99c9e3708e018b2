package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// A tracer runs a command and sees what it writes; the words before the command.
type tracer struct {
	name  string
	words []string
}

// tracers are ours and those of Debian that do something of the kind. Porg is told by a
// library that it preloads, PRoot by ptrace(2).
func tracers(dir string) []tracer {
	ours := func(method string, more ...string) []string {
		return slices.Concat([]string{binary, "run", "--method", method, "--staging", dir, "--include", "/**", "--compress=none", "--name", "thing", "-o", dir}, more, []string{"--"})
	}
	return []tracer{
		{"native", nil},
		{"seccomp", ours("seccomp")},
		{"overlay", ours("overlay")},
		{"overlay--provenance", ours("overlay", "--provenance")},
		{"strace", []string{"strace", "-f", "-o", dir + "/strace", "--seccomp-bpf", "-e", "trace=%file"}},
		{"proot", []string{"proot"}},
		{"porg", []string{"porg", "--logdir=" + dir, "-I", "/", "-E", "/proc", "-lp", "thing"}},
	}
}

// callsProgram makes as many calls of two kinds as its argument says.
const callsProgram = `
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char name[32];
	int i, fd, n = atoi(argv[1]);

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof name, "f%d", i);
		fd = open(name, O_CREAT | O_WRONLY, 0644);
		if (fd < 0 || close(fd) != 0 || chmod(name, 0600) != 0)
			return 1;
	}
	return 0;
}
`

// BenchmarkTracers compares the time that commands take under each tracer with that
// without any, by a clock that runs only while the command does; whole is the same with
// all that comes after it, for us a list and a tarball. Of each run in turn, the median
// counts.
func BenchmarkTracers(b *testing.B) {
	require(b, "root", "overlay", "debian", "tracers")
	dir := b.TempDir()
	calls := filepath.Join(dir, "calls")
	if err := os.WriteFile(calls+".c", []byte(callsProgram), 0o644); err != nil {
		b.Fatal(err)
	}
	output(b, dir, "gcc", "-O2", "-o", calls, calls+".c")
	output(b, dir, "sh", "-c", "mkdir files; cd files; for d in $(seq 100); do mkdir $d; for f in $(seq 100); do seq $((d * f)) $((d * f + 100)) >$d/$f; done; done")
	source := filepath.Join(dir, "hello")
	output(b, dir, "cp", "-a", built(b, installers[0])+"/src", source)
	const n = 10000
	for _, work := range []struct{ name, script string }{
		{"calls", calls + " " + strconv.Itoa(n)},
		{"make-install", "for i in 1 2 3 4; do make -C " + source + " install DESTDIR=$PWD/$i >/dev/null 2>&1; done"},
		{"copy", "cp -r " + dir + "/files copy"},
	} {
		b.Run(work.name, func(b *testing.B) {
			inside, whole := make(map[string][]time.Duration), make(map[string][]time.Duration)
			const rounds = 5
			for range rounds {
				for _, tr := range tracers(b.TempDir()) {
					place := b.TempDir()
					script := "cd " + place + " && start=$(date +%s%N) && " + work.script + " && echo took $(($(date +%s%N) - start))"
					words := slices.Concat(tr.words, []string{"sh", "-c", script})
					if tr.name == "porg" { // which has a shell run its argument
						words = slices.Concat(tr.words, []string{script})
					}
					cmd := exec.Command(words[0], words[1:]...)
					whole[tr.name] = append(whole[tr.name], timed(func() { inside[tr.name] = append(inside[tr.name], took(b, cmd)) }))
				}
			}
			base := median(inside["native"])
			b.ReportMetric(float64(base.Milliseconds()), "ms-native")
			for name, all := range inside {
				if name == "native" {
					continue
				}
				b.ReportMetric(float64(median(all))/float64(base), "x-"+name)
				b.ReportMetric(float64(median(whole[name]))/float64(median(whole["native"])), "x-"+name+"-whole")
				if work.name == "calls" {
					b.ReportMetric(float64((median(all)-base).Nanoseconds())/(2*n), "ns/call-"+name)
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
