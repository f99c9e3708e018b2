package e2e

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The benchmarks report ratios, taken side by side: pairs of a native run and
// one of ours take turns, and each side counts with its median.

// BenchmarkRunPhase compares "make install" with itself under capture, by a
// clock that runs only while the command does.
func BenchmarkRunPhase(b *testing.B) {
	require(b, "root", "overlay", "debian")
	in := installers[0]
	live, base := newRoot(b, in), newRoot(b, in)
	script := `start=$(date +%s%N)
		for i in 1 2 3 4 5 6 7 8; do make install DESTDIR=/opt/$i >/dev/null 2>&1; done
		echo took $(($(date +%s%N) - start))`
	pairs(b, func() time.Duration {
		output(b, live, "sh", "-c", "rm -rf opt/*")
		return took(b, native(live, in.at(script)))
	}, func() time.Duration {
		return took(b, sandboxed(in.at(script), "--root", base, "-o", b.TempDir(), "--compress=none"))
	})
}

// took reads the time that a script measured itself.
func took(b *testing.B, cmd *exec.Cmd) time.Duration {
	b.Helper()
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%q: %v", cmd.Args, err)
	}
	_, ns, _ := strings.Cut(string(out), "took ")
	n, err := strconv.ParseInt(strings.TrimSpace(ns), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(n)
}

// BenchmarkWhole compares a whole run, list and tarball written, with the same
// copying natively and tar --zstd of what it made.
func BenchmarkWhole(b *testing.B) {
	require(b, "root", "overlay", "debian")
	for name, makeFiles := range map[string]string{
		"10000-files": `for d in $(seq 100); do mkdir -p $d; for f in $(seq 100); do
			seq $((d * f)) $((d * f + 600)) >$d/$f; done; done`,
		"one-GiB": `head -c 512M /dev/urandom >large; seq 80000000 | head -c 512M >>large`,
	} {
		b.Run(name, func(b *testing.B) {
			in := installers[0]
			live, base := newRoot(b, in), newRoot(b, in)
			for _, root := range []string{live, base} {
				output(b, mkdir(b, root, "usr/src/files"), "sh", "-c", makeFiles)
			}
			const install = "cp -R /usr/src/files /opt/files"
			pairs(b, func() time.Duration {
				output(b, live, "rm", "-rf", "opt/files")
				archive := filepath.Join(b.TempDir(), "files.tar.zst")
				return timed(func() {
					loud(b, native(live, install))
					output(b, live, "tar", "--zstd", "-cf", archive, "opt/files")
				})
			}, func() time.Duration {
				out := b.TempDir()
				return timed(func() { loud(b, sandboxed(install, "--root", base, "-o", out)) })
			})
		})
	}
}

// BenchmarkMillion reports the memory that a million entries take.
func BenchmarkMillion(b *testing.B) {
	require(b, "root", "overlay", "debian")
	base := newRoot(b, installers[0])
	const install = `mkdir /opt/million && cd /opt/million && for d in $(seq 1000); do mkdir $d; done &&
		for d in *; do seq -f $d/%g 1000; done | xargs touch`
	for b.Loop() {
		cmd := sandboxed(install, "--root", base, "-o", b.TempDir())
		loud(b, cmd)
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		b.ReportMetric(float64(usage.Maxrss)/1024, "MiB")
	}
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// pairs reports how much longer ours takes than native.
func pairs(b *testing.B, native, ours func() time.Duration) {
	b.Helper()
	const rounds = 5
	var plain, captured []time.Duration
	for b.Loop() {
		for range rounds {
			syscall.Sync() // what was written before is not to be paid for now
			plain = append(plain, native())
			syscall.Sync()
			captured = append(captured, ours())
		}
	}
	n, o := median(plain), median(captured)
	b.ReportMetric(n.Seconds(), "s-native")
	b.ReportMetric(o.Seconds(), "s-ours")
	b.ReportMetric(o.Seconds()/n.Seconds(), "x-native")
	b.ReportMetric(0, "ns/op") // the sum of both says nothing
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
