package tarball

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/plist"
)

// BenchmarkSmallFiles archives the first 10,000 files of Go's source.
func BenchmarkSmallFiles(b *testing.B) {
	need.Program(b, "go")
	src := strings.TrimSpace(run(b, ".", "go", "env", "GOROOT")) + "/src"
	dir := b.TempDir()
	n := 0
	check(b, filepath.WalkDir(src, func(name string, d fs.DirEntry, err error) error {
		if err != nil || n == 10000 || !d.Type().IsRegular() {
			return err
		}
		n++
		content, err := os.ReadFile(name)
		check(b, err)
		copied := filepath.Join(dir, strings.TrimPrefix(name, src))
		check(b, os.MkdirAll(filepath.Dir(copied), 0o777))
		return os.WriteFile(copied, content, 0o666)
	}))
	against(b, dir)
}

// BenchmarkLargeFile archives one file of 1 GiB: machine code.
func BenchmarkLargeFile(b *testing.B) {
	program, err := os.Executable()
	check(b, err)
	code, err := os.ReadFile(program)
	check(b, err)
	dir := b.TempDir()
	f, err := os.Create(filepath.Join(dir, "large"))
	check(b, err)
	for size := 0; size < 1<<30; size += len(code) {
		_, err := f.Write(code[:min(len(code), 1<<30-size)])
		check(b, err)
	}
	check(b, f.Close())
	against(b, dir)
}

// against archives dir here and by tar --zstd, and reports how much longer it
// takes and how much larger the result is.
func against(b *testing.B, dir string) {
	need.Program(b, "tar")
	need.Program(b, "zstd")
	l := scanTree(b, dir)
	root, err := os.OpenRoot(dir)
	check(b, err)
	defer shut(b, root)
	ours, theirs := filepath.Join(b.TempDir(), "ours"), filepath.Join(b.TempDir(), "theirs")
	var ourTime, theirTime time.Duration
	for b.Loop() {
		start := time.Now()
		run(b, dir, "tar", "--zstd", "-cf", theirs, ".")
		theirTime += time.Since(start)

		start = time.Now()
		f, err := os.Create(ours)
		check(b, err)
		check(b, Write(f, l, plist.DirTree{Root: root}, Options{}))
		check(b, f.Close())
		ourTime += time.Since(start)
	}
	b.ReportMetric(float64(ourTime)/float64(theirTime), "ratio")
	b.ReportMetric(float64(fileSize(b, ours))/float64(fileSize(b, theirs)), "size-ratio")
	b.ReportMetric(ourTime.Seconds()/float64(b.N), "s-ours")
	b.ReportMetric(theirTime.Seconds()/float64(b.N), "s-tar")
}

func fileSize(b *testing.B, name string) int64 {
	b.Helper()
	fi, err := os.Stat(name)
	check(b, err)
	return fi.Size()
}

// BenchmarkMillion archives and reads a million entries and reports the most
// memory that took, the list included.
func BenchmarkMillion(b *testing.B) {
	l := &plist.List{Name: "million", Version: "1", Prefix: "/"}
	for i := range 1000000 {
		e := regular(fmt.Sprintf("usr/share/million/%04d/some-file-%07d.txt", i/1000, i), "")
		e.ModTime = time.Unix(1e9, int64(i))
		binary.LittleEndian.PutUint64(e.Digest[:], uint64(i)*0x9e3779b97f4a7c15)
		l.Entries = append(l.Entries, e)
	}
	name := filepath.Join(b.TempDir(), "million")
	resetPeak(b)
	b.Logf("the list alone: %.0f MB", peak(b))
	for b.Loop() {
		resetPeak(b)
		f, err := os.Create(name)
		check(b, err)
		check(b, Write(f, l, emptyTree{}, Options{}))
		check(b, f.Close())
		b.ReportMetric(peak(b), "MB-write")
	}
	l = nil
	resetPeak(b)
	f, err := os.Open(name)
	check(b, err)
	r, err := NewReader(f)
	check(b, err)
	check(b, r.Finish())
	check(b, errors.Join(r.Close(), f.Close()))
	b.ReportMetric(peak(b), "MB-read")
}

type emptyTree struct{}

func (emptyTree) Open(string) (plist.File, error) { return io.NopCloser(strings.NewReader("")), nil }

// resetPeak makes the resident size of now the highest there was (proc(5)).
func resetPeak(b *testing.B) {
	b.Helper()
	debug.FreeOSMemory()
	check(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0))
}

// peak returns the highest resident size in megabytes.
func peak(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	check(b, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	_, err = fmt.Sscan(rest, &kib)
	check(b, err)
	return kib / 1024
}
