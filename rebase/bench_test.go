package rebase

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// benchImages is as many as were measured with Cygwin's rebase 4.5.0 on a machine
// of this kind: 781 images, 340 MiB, warm cache. Its database mode, which writes in
// place and flushes nothing, took so many seconds.
const (
	benchImages   = 781
	cygwinAll     = 2.3
	cygwinNothing = 1.4
	cygwinOneNew  = 0.59
)

// report prints the time next to that of Cygwin's rebase, and how much memory the
// run has taken from the system.
func report(b *testing.B, cygwin float64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-memory")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/cygwin, "of-cygwin")
}

// benchBed writes the images of a benchmark: most small, a few large, all on the
// base that Microsoft's linker chooses.
func benchBed(b *testing.B) (*bed, []string) {
	b.Helper()
	bed := newBed(b)
	sizes := rand.New(rand.NewPCG(1, 2))
	var names []string
	total := 0
	for i := range benchImages {
		pages := 1 + int(sizes.ExpFloat64()*110)
		name := fmt.Sprintf("/lib/%03d.dll", i)
		content := rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x180000000, Pages: pages, Seed: byte(i)})
		bed.writeFile(name, content)
		names, total = append(names, name), total+len(content)
	}
	b.SetBytes(int64(total))
	b.Logf("%d images, %d MiB", len(names), total>>20)
	return bed, names
}

// benchApply plans and applies once, the database read from its file.
func (b *bed) benchApply(names []string, want int) {
	b.Helper()
	if db, err := Open(b.db.Path); err == nil {
		b.db = db
	}
	if plan := b.apply(Policy{}, names...); plan.Moves() != want {
		b.Fatalf("%d moved, want %d", plan.Moves(), want)
	}
}

func BenchmarkApplyAll(b *testing.B) {
	bed, names := benchBed(b)
	for b.Loop() {
		bed.benchApply(names, benchImages)
		b.StopTimer()
		bed.undoAll(names)
		b.StartTimer()
	}
	report(b, cygwinAll)
}

// BenchmarkReplaceAll is the bare part of BenchmarkApplyAll that any tool has which
// replaces files safely: read, write anew, flush, rename.
func BenchmarkReplaceAll(b *testing.B) {
	bed, names := benchBed(b)
	for b.Loop() {
		err := each(context.Background(), names, func(name string) {
			content := bed.read(name)
			info, err := os.Stat(filepath.Join(bed.dir, name))
			if err != nil {
				b.Error(err)
			}
			r := replacement{root: bed.root.Root, name: name[1:], old: info}
			if err := r.stage(content); err != nil {
				b.Error(err)
			}
			if err := r.commit(); err != nil {
				b.Error(err)
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApplyNothing(b *testing.B) {
	bed, names := benchBed(b)
	bed.benchApply(names, benchImages)
	for b.Loop() {
		bed.benchApply(names, 0)
	}
	report(b, cygwinNothing)
}

func BenchmarkApplyOneNew(b *testing.B) {
	bed, names := benchBed(b)
	bed.benchApply(names, benchImages)
	one := rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x180000000, Pages: 110, Seed: 255})
	for b.Loop() {
		b.StopTimer()
		if err := os.Remove(filepath.Join(bed.dir, names[7])); err != nil {
			b.Fatal(err)
		}
		bed.writeFile(names[7], one)
		bed.db.Remove(names[7])
		if err := bed.db.Save(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		bed.benchApply(names, 1)
	}
	report(b, cygwinOneNew)
}

func BenchmarkCheck(b *testing.B) {
	bed, names := benchBed(b)
	bed.benchApply(names, benchImages)
	for b.Loop() {
		if findings, err := Check(context.Background(), bed.root, bed.db, nil); err != nil || len(findings) > 0 {
			b.Fatal(findings, err)
		}
	}
}
