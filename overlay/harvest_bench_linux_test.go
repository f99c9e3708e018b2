package overlay

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
)

// BenchmarkHarvest reads an upper directory of 10,000 new files of 4 KiB, and
// tells what part it takes of the time in which cp(1) made them there.
func BenchmarkHarvest(b *testing.B) {
	source, u := b.TempDir(), newUnion(b, b.TempDir(), b.TempDir(), runOptions)
	shell(b, source, "for d in $(seq 100); do mkdir $d; for f in $(seq 100); do head -c 4096 /dev/urandom >$d/$f; done; done")
	start := time.Now()
	shell(b, u.mergedDir, "cp -r "+source+" new")
	cp := time.Since(start)
	for b.Loop() {
		list, tree, err := harvest(b.Context(), []layer{u.layer}, nil)
		if err != nil || len(list.Entries) != 10101 {
			b.Fatal(len(list.Entries), err)
		}
		tree.Close()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(cp), "of-cp")
}

// BenchmarkMillion reads a million empty files, and tells how much more memory the
// process needed for it.
func BenchmarkMillion(b *testing.B) {
	u := newUnion(b, b.TempDir(), newTmpfs(b), runOptions)
	for d := range 1000 {
		dir := fmt.Sprintf("%s/usr/share/package/directory-%d", u.mergedDir, d)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for f := range 1000 {
			if err := os.WriteFile(fmt.Sprintf("%s/file-%d.html", dir, f), nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	before := resident(b)
	for b.Loop() {
		list, tree, err := harvest(b.Context(), []layer{u.layer}, nil)
		if err != nil || len(list.Entries) < 1_000_000 {
			b.Fatal(len(list.Entries), err)
		}
		tree.Close()
	}
	after := resident(b)
	b.ReportMetric(after, "MB")
	b.ReportMetric(after-before, "MB-more")
}

// resident returns the most memory that the process ever had, in megabytes.
func resident(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Maxrss) / 1024
}
